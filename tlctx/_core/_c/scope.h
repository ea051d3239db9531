/* ScopeBase: one request's namespace, and its way onto a thread and off it. */

/* The words of a label, a tuple of keys, that `source` has; a label that is a text is returned as it is. */
static PyObject *
label_words(state *st, PyObject *source, PyObject *label)
{
    if (!PyTuple_CheckExact(label)) {
        return Py_NewRef(label);
    }
    PyObject *words = PyTuple_New(PyTuple_GET_SIZE(label));
    for (Py_ssize_t i = 0; words != NULL && i < PyTuple_GET_SIZE(label); i++) {
        PyObject *key = PyTuple_GET_ITEM(label, i), *word;
        if (PyDict_CheckExact(source)) {
            word = PyDict_GetItemWithError(source, key);
            word = word != NULL || !PyErr_Occurred() ? Py_NewRef(word == NULL ? Py_None : word) : NULL;
        }
        else {
            word = PyObject_CallMethodOneArg(source, st->str_get, key);
        }
        if (word == NULL) {
            Py_CLEAR(words);
            break;
        }
        PyTuple_SET_ITEM(words, i, word);
    }
    return words;
}

static PyObject *
scope_make(state *st, PyTypeObject *type, PyObject *context, PyObject *source, PyObject *label, PyObject *values)
{
    if (!PyObject_TypeCheck(context, st->local_type)) {
        return PyErr_Format(PyExc_TypeError, "a scope needs a RequestContext, not %s", short_name(Py_TYPE(context)));
    }
    scopeobject *self = (scopeobject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->started = monotonic();
    self->serial = ++st->scopes;
    self->context = Py_NewRef(context);
    self->impl = (implobject *)Py_NewRef((PyObject *)((localobject *)context)->impl);
    self->source = Py_NewRef(source);
    self->label = label_words(st, source, label);
    self->values = Py_NewRef(values);
    self->thread = Py_NewRef(st->zero);
    self->namespace = self->label == NULL ? NULL : make_namespace(st, context, (PyObject *)self);
    if (self->namespace == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->resume = Py_NewRef(self->namespace);
    return (PyObject *)self;
}

static PyObject *
scope_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {"context", "source", "label", "values", NULL};
    PyObject *module = PyType_GetModuleByDef(type, &module_def);
    if (module == NULL) {
        return NULL;
    }
    state *st = PyModule_GetState(module);
    PyObject *context, *source = Py_None, *label = st->str_empty, *values = st->no_values;
    if (kw == NULL && PyTuple_GET_SIZE(args) == 3) { /* as the middleware calls it, for each request */
        context = PyTuple_GET_ITEM(args, 0);
        source = PyTuple_GET_ITEM(args, 1);
        label = PyTuple_GET_ITEM(args, 2);
    }
    else if (!PyArg_ParseTupleAndKeywords(args, kw, "O|OOO:Scope", names, &context, &source, &label, &values)) {
        return NULL;
    }
    return scope_make(st, type, context, source, label, values);
}

/* Scope(context, source, label), as the middleware calls it for each request, without a tuple of arguments. */
static PyObject *
scope_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (nargs == 3 && kwnames == NULL) {
        PyObject *module = PyType_GetModuleByDef((PyTypeObject *)type, &module_def);
        if (module == NULL) {
            return NULL;
        }
        state *st = PyModule_GetState(module);
        return scope_make(st, (PyTypeObject *)type, args[0], args[1], args[2], st->no_values);
    }
    PyObject *tuple = PyTuple_New(nargs), *kw = kwnames == NULL ? NULL : PyDict_New(), *scope = NULL;
    int failed = tuple == NULL || (kw == NULL && kwnames != NULL);
    for (Py_ssize_t i = 0; !failed && i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; !failed && kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        failed = PyDict_SetItem(kw, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0;
    }
    if (!failed) {
        scope = PyType_Type.tp_call(type, tuple, kw);
    }
    Py_XDECREF(tuple);
    Py_XDECREF(kw);
    return scope;
}

#define SCOPE_OBJECTS(each) \
    each(impl) each(context) each(source) each(label) each(namespace) each(resume) each(displaced) each(error) \
    each(values) each(parts) each(thread) each(closer) each(made) each(below)

static int
scope_traverse(scopeobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
#define VISIT(name) Py_VISIT(self->name);
    SCOPE_OBJECTS(VISIT)
#undef VISIT
    return 0;
}

/* The map stays until the end, for code that still unbinds the scope. */
static int
scope_clear(scopeobject *self)
{
    implobject *impl = self->impl;
    self->impl = NULL;
    if (self->last_copy != NULL) {
        self->last_copy->scope = NULL;
        self->last_copy = NULL;
    }
#define CLEAR(name) Py_CLEAR(self->name);
    SCOPE_OBJECTS(CLEAR)
#undef CLEAR
    self->impl = impl;
    return 0;
}

/* A scope that has begun, and that the collector finds open: nobody can close it any more. */
static void
scope_finalize(PyObject *scope)
{
    scopeobject *self = (scopeobject *)scope;
    if (!is_open(self) || self->impl == NULL || self->thread == NULL || self->thread == self->impl->st->zero) {
        return;
    }
    PyObject *error = take_error();
    PyObject *done = PyObject_CallMethodNoArgs(scope, self->impl->st->str_close_unleft);
    if (done == NULL) {
        note_unfinished(self, (PyObject *)self, self->impl->st->str_close_late);
        PyErr_WriteUnraisable(scope);
    }
    Py_XDECREF(done);
    restore_error(error);
}

static void
scope_dealloc(scopeobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (is_open(self) && PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    scope_clear(self);
    Py_CLEAR(self->impl);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A subclass that adds nothing to ScopeBase's layout is made and freed the quick way. */
static PyObject *
scope_init_subclass(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kw, ":__init_subclass__", names)) {
        return NULL;
    }
    if (type->tp_init == PyBaseObject_Type.tp_init && type->tp_new == scope_new) {
        type->tp_vectorcall = scope_vectorcall;
    }
    if (type->tp_basicsize == sizeof(scopeobject) && type->tp_dictoffset == 0) {
        type->tp_dealloc = (destructor)scope_dealloc;
    }
    Py_RETURN_NONE;
}

static PyObject *
scope_get_started(scopeobject *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble((double)self->started * 1e-9);
}

static PyMethodDef scope_methods[] = {
    {"__init_subclass__", (PyCFunction)(void (*)(void))scope_init_subclass, METH_CLASS | METH_VARARGS | METH_KEYWORDS, NULL},
    {"bind", (PyCFunction)scope_bind, METH_NOARGS,
     "Make it current on this thread. Returns what that displaced, which `unbind` wants back.\n\n"
     "Raises RequestEndedError after its end."},
    {"unbind", (PyCFunction)scope_unbind, METH_O,
     "Take it off this thread again, with whatever scopes its code left open there."},
    {"restore", (PyCFunction)scope_restore, METH_O,
     "Make the thread's dict what it was before `bind`, where something struck `unbind`. It may be called again."},
    {"attach", (PyCFunction)scope_attach, METH_NOARGS,
     "Make it current for this coroutine and what that starts, until `detach`, which does not close it.\n\n"
     "Raises RuntimeError where a scope is bound to the thread, RequestEndedError after its end."},
    {"run", (PyCFunction)(void (*)(void))scope_run, METH_FASTCALL | METH_KEYWORDS,
     "run(function, /, *args, **kwargs): return what `function(*args, **kwargs)` returns, which is called with the scope\n"
     "bound. Raises RequestEndedError if the scope has ended."},
    {"__enter__", (PyCFunction)scope_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))scope_exit, METH_FASTCALL, NULL},
    {"call", (PyCFunction)(void (*)(void))scope_call, METH_FASTCALL,
     "call(wrap, on_error, note, function, *args): call `function(*args)` with the scope bound, and return what it returns.\n\n"
     "After a list, or None, no code of the request is left to run: a scope without a teardown is closed at once.\n"
     "Anything else is replaced by what `wrap(result, scope, note)` returns. If the call raises,\n"
     "`on_error(error, scope)` is called, which has to close the scope; once more if it could not."},
    {"close_if_idle", (PyCFunction)scope_close_if_idle, METH_NOARGS,
     "Close it here and now if there is no teardown to run. Returns whether it is closed, now or before."},
    {"_claim_end", (PyCFunction)scope_claim_end, METH_O,
     "Whether the call that `frame` runs has to close it: the first one, or the next after one that was struck."},
    {"_release", (PyCFunction)scope_release_method, METH_O,
     "Empty the namespace for good, and let go of the request, which `error` ended, if anything did."},
    {NULL},
};

static PyMemberDef scope_members[] = {
    {"context", T_OBJECT, offsetof(scopeobject, context), READONLY, NULL},
    {"source", T_OBJECT, offsetof(scopeobject, source), READONLY, NULL},
    {"namespace", T_OBJECT, offsetof(scopeobject, namespace), READONLY, NULL},
    {"serial", T_ULONGLONG, offsetof(scopeobject, serial), READONLY, NULL},
    {"chunks", T_ULONGLONG, offsetof(scopeobject, chunks), 0, NULL},
    {"thread", T_OBJECT_EX, offsetof(scopeobject, thread), 0, NULL},
    {"closes_early", T_BOOL, offsetof(scopeobject, closes_early), 0, NULL},
    {"_below", T_OBJECT, offsetof(scopeobject, below), READONLY, NULL},
    {"_by_generator", T_BOOL, offsetof(scopeobject, by_generator), READONLY, NULL},
    {"_attached", T_BOOL, offsetof(scopeobject, attached), 0, NULL},
    {"_displaced", T_OBJECT, offsetof(scopeobject, displaced), 0, NULL},
    {"_error", T_OBJECT, offsetof(scopeobject, error), 0, NULL},
    {"_in_loop", T_BOOL, offsetof(scopeobject, in_loop), 0, NULL},
    {"_label", T_OBJECT, offsetof(scopeobject, label), 0, NULL},
    {"_resume", T_OBJECT, offsetof(scopeobject, resume), 0, NULL},
    {"_values", T_OBJECT, offsetof(scopeobject, values), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(scopeobject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef scope_getset[] = {
    {"ended", (getter)scope_get_ended, NULL, "Whether it is over: its teardown has run and its values are gone.", NULL},
    {"started", (getter)scope_get_started, NULL, "When it began, in seconds on the clock of `time.monotonic`.", NULL},
    {"_made", (getter)scope_get_made, NULL, "What per_request methods have made, by name.", NULL},
    {"_parts", (getter)scope_get_parts, NULL, "The parts of the teardown.", NULL},
    {NULL},
};

static PyType_Slot scope_slots[] = {
    {Py_tp_doc, "One request's namespace, and its way onto a thread and off it. `Scope` adds what happens at the end."},
    {Py_tp_new, scope_new},
    {Py_tp_dealloc, scope_dealloc},
    {Py_tp_finalize, scope_finalize},
    {Py_tp_traverse, scope_traverse},
    {Py_tp_clear, scope_clear},
    {Py_tp_methods, scope_methods},
    {Py_tp_members, scope_members},
    {Py_tp_getset, scope_getset},
    {0, NULL},
};

static PyType_Spec scope_spec = {
    .name = "tlctx._core._accelerator.ScopeBase",
    .basicsize = sizeof(scopeobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = scope_slots,
};
