/* The end of a scope: who closes it, and how it lets go of the request. */

/* What is left to do when the scope has ended: parts that another thread has just added, and the observers. */
static int
after_release(scopeobject *self, state *st, PyObject *error)
{
    PyObject *done = NULL;
    if (self->parts != NULL && PyList_GET_SIZE(self->parts) > 0) {
        done = PyObject_CallMethodNoArgs((PyObject *)self, st->str_run_late);
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    if (PyDict_GET_SIZE(st->unfinished) > 0) {
        done = PyObject_CallMethodNoArgs((PyObject *)self, st->str_close_unfinished);
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    if (PyList_GET_SIZE(st->observers) > 0) {
        done = PyObject_CallFunctionObjArgs(st->notify_end, (PyObject *)self, error, NULL);
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    return 0;
}

/* Empty the namespace for good, and let go of the request, which `error` ended, or None. */
static int
scope_release(scopeobject *self, PyObject *error)
{
    state *st = self->impl->st;
    PyObject *kept[] = {self->namespace, self->source, self->values, self->error, self->resume, self->made, self->below};
    if (!is_open(self)) {
        return 0;
    }
    Py_INCREF(error);
    PyObject *closer = self->closer;
    self->namespace = Py_NewRef(st->ended);
    self->source = Py_NewRef(Py_None);
    self->closer = NULL;
    self->values = Py_NewRef(st->no_values);
    self->error = self->resume = self->made = self->below = NULL;
    int result = end_namespace(st, kept[0]);
    for (size_t i = 1; i < sizeof(kept) / sizeof(*kept); i++) { /* their finalizers may run code, when it is over */
        Py_XDECREF(kept[i]);
    }
    Py_XDECREF(closer);
    give_back_namespace(st, kept[0]);
    if (result == 0) {
        result = after_release(self, st, error);
    }
    Py_DECREF(error);
    return result;
}

/* 1: it is closed, now or before. 0: it has a teardown to run, or that runs. */
static int
close_if_idle(scopeobject *self)
{
    if ((self->parts != NULL && PyList_GET_SIZE(self->parts) > 0) || self->closer != NULL) {
        return !is_open(self);
    }
    return scope_release(self, self->error == NULL ? Py_None : self->error) < 0 ? -1 : 1;
}

/* Note the error that is set as the one that ends the scope. */
static void
note_error(scopeobject *self)
{
    PyObject *error = take_error();
    Py_XSETREF(self->error, Py_XNewRef(error));
    restore_error(error);
}

static PyObject *
scope_close_if_idle(scopeobject *self, PyObject *Py_UNUSED(ignored))
{
    int closed = close_if_idle(self);
    return closed < 0 ? NULL : PyBool_FromLong(closed);
}

/* Whether the call that runs in `frame` has to close the scope: the first one, or the next after one that was struck. */
static PyObject *
scope_claim_end(scopeobject *self, PyObject *frame)
{
    if (!is_open(self)) {
        Py_RETURN_FALSE;
    }
    if (self->closer != NULL) {
        PyObject *closer = Py_NewRef(self->closer);
        PyObject *over = PyObject_CallMethodNoArgs(closer, self->impl->st->str_clear);
        Py_DECREF(closer);
        if (over == NULL) {
            if (PyErr_ExceptionMatches(PyExc_RuntimeError)) { /* it still runs */
                PyErr_Clear();
                Py_RETURN_FALSE;
            }
            return NULL;
        }
        Py_DECREF(over);
    }
    Py_XSETREF(self->closer, Py_NewRef(frame));
    Py_RETURN_TRUE;
}

static PyObject *
scope_release_method(scopeobject *self, PyObject *error)
{
    return scope_release(self, error) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
scope_get_ended(scopeobject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->namespace == self->impl->st->ended);
}

/* What is in `place`, or `fresh`, which is stolen, where there is nothing: making it may have run code that asks too. */
static PyObject *
first_in(PyObject **place, PyObject *fresh)
{
    if (*place == NULL) {
        *place = fresh;
    }
    else {
        Py_XDECREF(fresh);
    }
    return Py_XNewRef(*place);
}

/* The list of the teardown's parts, made when it is first asked for. */
static PyObject *
scope_get_parts(scopeobject *self, void *Py_UNUSED(closure))
{
    return first_in(&self->parts, self->parts == NULL ? PyList_New(0) : NULL);
}

/* What per_request methods have made: a dict, made when it is first asked for. */
static PyObject *
scope_get_made(scopeobject *self, void *Py_UNUSED(closure))
{
    return first_in(&self->made, self->made == NULL ? PyDict_New() : NULL);
}
