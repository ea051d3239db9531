/* How a scope gets onto the running thread and off it again. */

/* The nearest namespace from this one down whose scope has not ended: a new reference, or NULL, with an error or for none.
   What is no namespace of a scope counts as one that has not ended. */
static PyObject *
nearest_open(state *st, PyObject *namespace)
{
    Py_INCREF(namespace);
    while (namespace != Py_None && PyObject_TypeCheck(namespace, st->namespace_type)) {
        PyObject *scope = PyObject_GetAttr(namespace, st->str_scope);
        if (scope == NULL) {
            Py_DECREF(namespace);
            return NULL;
        }
        scopeobject *base = (scopeobject *)scope;
        if (!PyObject_TypeCheck(scope, st->scope_type) || base->namespace != st->ended) {
            Py_DECREF(scope);
            return namespace;
        }
        PyObject *below = Py_NewRef(base->displaced == NULL ? Py_None : base->displaced);
        Py_DECREF(scope);
        Py_SETREF(namespace, below);
    }
    if (namespace == Py_None) {
        Py_CLEAR(namespace);
    }
    return namespace;
}

/* Raise RequestEndedError for binding the scope. */
static int
refuse_ended(scopeobject *self, state *st)
{
    PyObject *namespace = PyObject_CallOneArg(st->ended_namespace, (PyObject *)self), *use = NULL, *open = NULL;
    if (namespace != NULL && (use = PyUnicode_FromString("binding a scope")) != NULL) {
        open = PyObject_CallMethodOneArg(namespace, st->str_check, use);
        if (open != NULL) {
            PyErr_SetString(PyExc_RuntimeError, "a scope that has ended can't be bound");
        }
    }
    Py_XDECREF(open);
    Py_XDECREF(use);
    Py_XDECREF(namespace);
    return -1;
}

/* What the scope makes the thread's dict: its namespace, or that of a scope which its code left open. A new reference. */
static PyObject *
namespace_to_bind(scopeobject *self, state *st)
{
    if (self->resume == self->namespace && self->resume != NULL) {
        return Py_NewRef(self->namespace);
    }
    if (!is_open(self)) {
        refuse_ended(self, st);
        return NULL;
    }
    PyObject *namespace = nearest_open(st, self->resume == NULL ? Py_None : self->resume);
    if (namespace == NULL && !PyErr_Occurred()) {
        namespace = Py_NewRef(self->namespace);
    }
    if (namespace != NULL && !PyDict_Check(namespace)) {
        PyErr_Format(PyExc_TypeError, "a scope goes on with a namespace, not with %s", short_name(Py_TYPE(namespace)));
        Py_CLEAR(namespace);
    }
    return namespace;
}

/* Tell the observers, if there are any, that the scope begins, when it is bound for the first time. */
static int
begin_if_new(scopeobject *self, state *st)
{
    if (self->thread != st->zero || PyList_GET_SIZE(st->observers) == 0) {
        return 0;
    }
    PyObject *ident = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    if (ident == NULL) {
        return -1;
    }
    Py_XSETREF(self->thread, ident);
    PyObject *told = PyObject_CallOneArg(st->notify_begin, (PyObject *)self);
    Py_XDECREF(told);
    return told == NULL ? -1 : 0;
}

static int
call_method(scopeobject *self, PyObject *name)
{
    PyObject *done = PyObject_CallMethodNoArgs((PyObject *)self, name);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Make the scope current on the running thread. `displaced`: the thread's dict before, as a new reference, or NULL. */
static int
bind(scopeobject *self, PyObject **displaced)
{
    state *st = self->impl->st;
    PyObject *ident = NULL;
    *displaced = NULL;
    if (begin_if_new(self, st) < 0) {
        return -1;
    }
    PyObject *namespace = namespace_to_bind(self, st);
    int flows = namespace == NULL ? -1 : flows_here(st);
    if (flows > 0 && flows & UNPATCHED_GREENLET) {
        Py_DECREF(namespace);
        return call_method(self, st->str_attach) < 0 ? -1 : ((*displaced = Py_NewRef(st->attached)), 0);
    }
    if (flows < 0 || impl_swap(self->impl, namespace, displaced, &ident) < 0) {
        Py_XDECREF(namespace);
        return -1;
    }
    self->in_loop = (flows & EVENT_LOOP) != 0;
    if (*displaced != NULL && self->below == NULL) {
        self->below = Py_NewRef(*displaced);
    }
    Py_XSETREF(self->thread, ident);
    Py_DECREF(namespace);
    return 0;
}

/* Make the thread's dict what it was before bind(); `left` gets what it was until now, as a new reference, or NULL. */
static int
put_back(scopeobject *self, PyObject *displaced, PyObject **left)
{
    state *st = self->impl->st;
    PyObject *below = NULL;
    *left = NULL;
    if (displaced != NULL && displaced != Py_None) {
        below = nearest_open(st, displaced);
        if (below == NULL && PyErr_Occurred()) {
            return -1;
        }
        if (below != NULL && !PyDict_Check(below)) {
            PyErr_Format(PyExc_TypeError, "unbind() wants back what bind() returned, not %s",
                         short_name(Py_TYPE(below)));
            Py_DECREF(below);
            return -1;
        }
        if (displaced == self->below) {
            Py_CLEAR(self->below);
        }
    }
    PyObject *error = NULL;
    int result = impl_swap(self->impl, below, left, NULL);
    if (result < 0) { /* a signal handler's timeout, say, in current_record(): the scope has to go all the same */
        error = take_error();
        result = impl_swap(self->impl, below, left, NULL);
    }
    Py_XDECREF(below);
    if (error != NULL) {
        restore_error(error);
        return -1;
    }
    return result;
}

/* Close what code of the scope, which has ended, left open on the thread: `left` was its dict. */
static int
close_left_open(scopeobject *self, state *st, PyObject *left)
{
    if (left == NULL || !PyObject_TypeCheck(left, st->namespace_type)) {
        return 0;
    }
    PyObject *owner = PyObject_GetAttr(left, st->str_scope);
    PyObject *done = owner == NULL || owner == (PyObject *)self
                         ? Py_XNewRef(owner) : PyObject_CallMethodOneArg((PyObject *)self, st->str_close_left_open, left);
    Py_XDECREF(owner);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Take the scope off the running thread again; `displaced` is borrowed, NULL for none. */
static int
unbind(scopeobject *self, PyObject *displaced)
{
    state *st = self->impl->st;
    PyObject *left;
    if (displaced == st->attached) {
        return call_method(self, st->str_detach);
    }
    int result = put_back(self, displaced, &left);
    if (self->namespace == st->ended) {
        if (result == 0) {
            result = close_left_open(self, st, left);
        }
    }
    else if (result == 0 && self->namespace != NULL) {
        PyObject *before = self->resume;
        self->resume = left;
        left = before;
    }
    give_back_namespace(st, left);
    return result;
}

/* unbind() after a piece of code, whose result is returned, or NULL: with the error that it raised, which stays set. */
static PyObject *
unbind_after(scopeobject *self, PyObject *displaced, PyObject *result)
{
    PyObject *error = result == NULL && PyErr_Occurred() ? take_error() : NULL; /* an iterator may end without one */
    if (error == NULL) {
        if (unbind(self, displaced) < 0) {
            Py_CLEAR(result);
        }
        return result;
    }
    PyObject *before = begin_handling(error);
    int unbound = unbind(self, displaced);
    end_handling(before);
    if (unbound < 0) {
        Py_DECREF(error);
    }
    else {
        restore_error(error);
    }
    return NULL;
}

/* Call `hook(given, second)`, or without the second, while the error that is set is being handled; it is set again
   afterwards, unless the hook raised one, whose context it then is. */
static void
call_handling(PyObject *hook, PyObject *given, PyObject *second)
{
    PyObject *error = take_error();
    PyObject *before = begin_handling(error);
    PyObject *done = PyObject_CallFunctionObjArgs(hook, given, second, NULL);
    end_handling(before);
    if (done == NULL) {
        Py_DECREF(error);
        return;
    }
    Py_DECREF(done);
    restore_error(error);
}

/* Note that the scope could not be closed, because no stack is left, say: the next one that is closed, or entered, calls
   the method `close` of `owner`. The error that is set stays set. */
static void
note_unfinished(scopeobject *self, PyObject *owner, PyObject *close)
{
    PyObject *error = take_error(), *method = PyObject_GetAttr(owner, close);
    PyObject *serial = method == NULL ? NULL : PyLong_FromUnsignedLongLong(self->serial);
    PyObject *entry = serial == NULL ? NULL : PyTuple_Pack(2, (PyObject *)self, method);
    if (entry == NULL || PyDict_SetItem(self->impl->st->unfinished, serial, entry) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(entry);
    Py_XDECREF(serial);
    Py_XDECREF(method);
    restore_error(error);
}

/* Call a hook that closes the scope with the error that is set; once more if something from outside, a signal's exception,
   struck before it could. */
static void
call_to_close(scopeobject *self, PyObject *hook, PyObject *second)
{
    PyObject *error = take_error();
    restore_error(Py_NewRef(error));
    call_handling(hook, error, second);
    if (is_open(self)) {
        call_handling(hook, error, second);
    }
    if (is_open(self)) {
        note_unfinished(self, (PyObject *)self, self->impl->st->str_close_late);
    }
    Py_DECREF(error);
}
