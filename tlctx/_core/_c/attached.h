/* Scopes that are attached to a context variable: as `_core/attached.py` and `_py/attached.py`, with a quick way for the
   usual case, a scope that is open, of a task whose event loop gives it a context. What is not plain, the Python code does. */

/* Whether the scope has not ended; one that is being collected, and has no namespace any more, counts as ended. */
static int
is_open(scopeobject *self)
{
    return self->namespace != NULL && self->namespace != self->impl->st->ended;
}

static inline int
is_scope(state *st, PyObject *object)
{
    return Py_TYPE(object)->tp_base == st->scope_type || PyObject_TypeCheck(object, st->scope_type);
}

/* The scope in what is attached, borrowed from it; NULL if it is no pair of a scope and a coroutine. */
static inline scopeobject *
attached_scope(state *st, PyObject *pair)
{
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) {
        return NULL;
    }
    PyObject *scope = PyTuple_GET_ITEM(pair, 0);
    return is_scope(st, scope) ? (scopeobject *)scope : NULL;
}

/* What is attached here: a tuple of pairs, as a new reference. */
static inline PyObject *
attached_pairs(state *st)
{
    PyObject *pairs;
    if (PyContextVar_Get(st->attached_scopes, st->no_args, &pairs) == 0 && !PyTuple_CheckExact(pairs)) {
        PyErr_Format(PyExc_TypeError, "scopes are attached in a tuple, not in %s", short_name(Py_TYPE(pairs)));
        Py_CLEAR(pairs);
    }
    return pairs;
}

/* The namespace of the open scope that is attached for `context`, and that all code of the task sees, as a new reference.
   NULL, with an error or without one: it is not as plain as that. */
static inline PyObject *
plainly_attached(state *st, PyObject *context)
{
    PyObject *found = NULL, *pairs = attached_pairs(st);
    for (Py_ssize_t i = 0; pairs != NULL && i < PyTuple_GET_SIZE(pairs); i++) {
        PyObject *pair = PyTuple_GET_ITEM(pairs, i);
        scopeobject *scope = attached_scope(st, pair);
        if (scope == NULL || scope->context == context) {
            int is_plain_case = scope != NULL && PyTuple_GET_ITEM(pair, 1) == Py_None && is_open(scope);
            found = is_plain_case ? Py_NewRef(scope->namespace) : NULL;
            break;
        }
    }
    Py_XDECREF(pairs);
    return found;
}

/* What `context` reads from where no scope is bound to the thread, as a new reference. */
static PyObject *
attached_namespace(state *st, PyObject *context)
{
    PyObject *namespace = plainly_attached(st, context);
    return namespace != NULL || PyErr_Occurred() ? namespace : PyObject_CallOneArg(st->attached_namespace, context);
}

static PyObject *
module_attached_namespace(PyObject *module, PyObject *context)
{
    return attached_namespace(PyModule_GetState(module), context);
}

/* Whether the dict of a thread that has none is, by the hook of this class, what is attached here. */
static inline int
reads_what_is_attached(implobject *impl, PyObject *hook)
{
    return hook != NULL && PyCFunction_CheckExact(hook) && PyCFunction_GET_SELF(hook) == impl->module
           && PyCFunction_GET_FUNCTION(hook) == module_attached_namespace;
}

/* The attached namespace of a context without a dict on the thread, as a new reference; NULL as with plainly_attached(). */
static inline PyObject *
local_plainly_attached(PyObject *self)
{
    implobject *impl = ((localobject *)self)->impl;
    PyTypeObject *type = (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(self)); /* the look-up may run code */
    PyObject *hook = look_up_in_class(type, impl->st->str_make_dict);
    PyObject *namespace = reads_what_is_attached(impl, hook) ? plainly_attached(impl->st, self) : NULL;
    Py_XDECREF(hook);
    Py_DECREF(type);
    return namespace;
}

/* Have threads inherit no scopes, if it is not known of the interpreter that they inherit nothing. */
static int
keep_threads_without_scopes(state *st)
{
    PyObject *flags = PyDict_GetItemWithError(st->sys, st->str_flags);
    if (flags == st->plain_flags || PyErr_Occurred()) {
        return flags == NULL ? -1 : 0;
    }
    PyObject *done = PyObject_CallNoArgs(st->start_threads);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* The coroutine whose callees alone see what is attached here: None where asyncio runs, which gives each task a context. */
static PyObject *
coroutine_to_attach_for(state *st)
{
    PyObject *asyncio = Py_XNewRef(imported(st, st->str_asyncio));
    int runs = asyncio == NULL ? 0 : asyncio_runs(st, asyncio);
    Py_XDECREF(asyncio);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return runs ? Py_NewRef(Py_None) : PyObject_CallNoArgs(st->outermost_coroutine);
}

/* Whether a pair stays attached when `scope` is attached or detached. */
static inline int
stays_attached(state *st, PyObject *pair, PyObject *scope)
{
    scopeobject *other = attached_scope(st, pair);
    return other != NULL && (PyObject *)other != scope && is_open(other);
}

/* How many pairs stay attached. */
static Py_ssize_t
count_staying(state *st, PyObject *pairs, PyObject *scope)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        count += stays_attached(st, PyTuple_GET_ITEM(pairs, i), scope);
    }
    return count;
}

/* A tuple of `first`, if it is not NULL, and of the pairs that stay attached. */
static PyObject *
pairs_with(state *st, PyObject *first, PyObject *before, PyObject *scope)
{
    Py_ssize_t leading = first != NULL, count = count_staying(st, before, scope), place = leading;
    if (count == 0) {
        return first == NULL ? Py_NewRef(st->no_args) : PyTuple_Pack(1, first);
    }
    PyObject *pairs = PyTuple_New(leading + count);
    while (pairs != NULL && count_staying(st, before, scope) != count) { /* a finalizer has ended another of the scopes */
        count = count_staying(st, before, scope);
        Py_SETREF(pairs, PyTuple_New(leading + count));
    }
    if (pairs == NULL) {
        return NULL;
    }
    if (first != NULL) {
        PyTuple_SET_ITEM(pairs, 0, Py_NewRef(first));
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(before); i++) {
        PyObject *pair = PyTuple_GET_ITEM(before, i);
        if (stays_attached(st, pair, scope)) {
            PyTuple_SET_ITEM(pairs, place++, Py_NewRef(pair));
        }
    }
    return pairs;
}

/* Put `first`, if it is not NULL, in front of what is attached, without `scope` and scopes that have ended. Returns what was
   attached before, as a new reference. */
static PyObject *
attach_instead(state *st, PyObject *first, PyObject *scope)
{
    PyObject *before = attached_pairs(st);
    PyObject *pairs = before == NULL ? NULL : pairs_with(st, first, before, scope);
    PyObject *token = pairs == NULL ? NULL : PyContextVar_Set(st->attached_scopes, pairs);
    if (token == NULL) {
        Py_CLEAR(before);
    }
    Py_XDECREF(token);
    Py_XDECREF(pairs);
    return before;
}

static PyObject *
module_attach(PyObject *module, PyObject *scope)
{
    state *st = PyModule_GetState(module);
    if (!is_scope(st, scope)) {
        return PyErr_Format(PyExc_TypeError, "attach() needs a Scope, not %s", short_name(Py_TYPE(scope)));
    }
    PyObject *coroutine = keep_threads_without_scopes(st) < 0 ? NULL : coroutine_to_attach_for(st);
    PyObject *pair = coroutine == NULL ? NULL : PyTuple_Pack(2, scope, coroutine);
    PyObject *before = pair == NULL ? NULL : attach_instead(st, pair, scope);
    Py_XDECREF(pair);
    Py_XDECREF(coroutine);
    if (before == NULL) {
        return NULL;
    }
    Py_DECREF(before);
    Py_RETURN_NONE;
}

/* Whether nothing stands in the way: the scope is open and unobserved, and no scope is bound here. -1: error. */
static int
attaches_plainly(scopeobject *self)
{
    if (!is_open(self) || PyList_GET_SIZE(self->impl->st->observers) > 0) {
        return 0;
    }
    PyObject *bound = NULL;
    int failed = impl_get(self->impl, &bound) < 0, plainly = bound == NULL;
    Py_XDECREF(bound);
    return failed ? -1 : plainly;
}

static PyObject *
scope_attach(scopeobject *self, PyObject *Py_UNUSED(ignored))
{
    int plainly = attaches_plainly(self);
    if (plainly <= 0) {
        return plainly < 0 ? NULL : PyObject_CallMethodNoArgs((PyObject *)self, self->impl->st->str_attach_checked);
    }
    PyObject *ident = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    if (ident == NULL) {
        return NULL;
    }
    Py_XSETREF(self->thread, ident);
    self->attached = 1;
    return module_attach(self->impl->module, (PyObject *)self);
}

static PyObject *
module_detach(PyObject *module, PyObject *scope)
{
    return attach_instead(PyModule_GetState(module), NULL, scope);
}
