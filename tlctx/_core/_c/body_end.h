/* The end of a body: closed by its server, by a step that raised, or dropped. */

static void
iterator_finalize(PyObject *self)
{
    scopeobject *scope = ((iteratorobject *)self)->scope;
    if (scope == NULL || !is_open(scope) || ((iteratorobject *)self)->owner != NULL) {
        return;
    }
    PyObject *error = take_error();
    for (int tries = 0; tries < 2 && is_open(scope); tries++) { /* once more, if something struck it */
        PyObject *done = PyObject_CallMethodNoArgs(self, scope->impl->st->str_on_drop);
        if (done == NULL) {
            PyErr_WriteUnraisable(self);
        }
        Py_XDECREF(done);
    }
    if (is_open(scope)) {
        note_unfinished(scope, self, scope->impl->st->str_on_drop);
    }
    restore_error(error);
}

/* Call a method of the subclass, which closes the scope, with the error that is set. */
static void
iterator_call_hook(iteratorobject *self, scopeobject *scope, PyObject *method)
{
    PyObject *error = take_error();
    PyObject *hook = PyObject_GetAttr(self->owner != NULL ? self->owner : (PyObject *)self, method);
    if (hook == NULL) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    restore_error(error);
    if (hook != NULL) {
        call_to_close(scope, hook, NULL);
        Py_DECREF(hook);
    }
    if (is_open(scope)) {
        note_unfinished(scope, self->owner != NULL ? self->owner : (PyObject *)self, scope->impl->st->str_close);
    }
}

/* `close` of an iterable: a new reference; None if it has none; NULL with an error. */
static PyObject *
close_of(PyObject *iterable, state *st)
{
    Py_INCREF(iterable);
    PyObject *close = PyObject_GetAttr(iterable, st->str_close);
    Py_DECREF(iterable);
    if (close == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        close = Py_NewRef(Py_None);
    }
    return close;
}

static PyObject *
call_close(PyObject *close)
{
    return close == Py_None ? Py_NewRef(Py_None) : PyObject_CallNoArgs(close);
}

/* Call `close` with the scope bound, then close the scope. */
static PyObject *
close_in_scope(iteratorobject *self, PyObject *close, scopeobject *scope, state *st)
{
    PyObject *displaced;
    if (bind(scope, &displaced) < 0) {
        return NULL;
    }
    PyObject *result = call_close(close);
    if (result != NULL) {
        int ended = close_if_idle(scope);
        if (ended <= 0) {
            Py_SETREF(result, ended < 0 ? NULL : PyObject_CallMethodNoArgs((PyObject *)self, st->str_on_close));
        }
    }
    if (result == NULL) {
        note_error(scope);
        iterator_call_hook(self, scope, st->str_on_close_error);
    }
    result = unbind_after(scope, displaced, result);
    Py_XDECREF(displaced);
    return result;
}

static PyObject *
iterator_close(iteratorobject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->scope == NULL || self->iterable == NULL) { /* collected */
        Py_RETURN_NONE;
    }
    if (self->owner != NULL) {
        return PyObject_CallMethodNoArgs(self->owner, ((scopeobject *)self->scope)->impl->st->str_close);
    }
    scopeobject *scope = (scopeobject *)Py_NewRef((PyObject *)self->scope);
    state *st = scope->impl->st;
    PyObject *result = NULL, *close = close_of(self->iterable, st);
    if (close != NULL) {
        result = scope->namespace == st->ended ? call_close(close) : close_in_scope(self, close, scope, st);
        Py_DECREF(close);
    }
    Py_DECREF(scope);
    Py_XDECREF(result);
    return result == NULL ? NULL : Py_NewRef(Py_None);
}
