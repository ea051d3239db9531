/* Code that runs in a scope: a call, a `with` block, or whatever comes between bind() and unbind(). */

/* What the caller returns for `result`, of code that ran with the scope bound; NULL with an error. Steals `result`. */
static PyObject *
wrap_result(scopeobject *self, PyObject *result, PyObject *wrap, PyObject *note)
{
    int no_code_left = result == Py_None || PyList_CheckExact(result) || self->closes_early;
    if (no_code_left) {
        self->chunks = 1;
    }
    int closed = no_code_left ? close_if_idle(self) : 0;
    if (closed <= 0) {
        PyObject *arguments[] = {result, (PyObject *)self, note};
        Py_SETREF(result, closed < 0 ? NULL : PyObject_Vectorcall(wrap, arguments, 3, NULL));
    }
    return result;
}

static PyObject *
scope_call(scopeobject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 4) {
        return PyErr_Format(PyExc_TypeError, "call() takes at least 4 arguments, not %zd", nargs);
    }
    PyObject *displaced;
    if (bind(self, &displaced) < 0) {
        call_to_close(self, args[1], (PyObject *)self);
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(args[3], args + 4, (size_t)(nargs - 4), NULL);
    if (result != NULL) {
        result = wrap_result(self, result, args[0], args[2]);
    }
    if (result == NULL) {
        note_error(self);
        call_to_close(self, args[1], (PyObject *)self);
    }
    result = unbind_after(self, displaced, result);
    Py_XDECREF(displaced);
    return result;
}

static PyObject *
scope_run(scopeobject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs < 1) {
        return PyErr_Format(PyExc_TypeError, "run() takes the function to call");
    }
    PyObject *displaced;
    if (bind(self, &displaced) < 0) {
        return NULL;
    }
    PyObject *result = unbind_after(self, displaced, PyObject_Vectorcall(args[0], args + 1, (size_t)(nargs - 1), kwnames));
    Py_XDECREF(displaced);
    return result;
}

/* Leave the scope, with the error that is set, which stays set; twice, if something struck it the first time. */
static void
leave_with_error(scopeobject *self)
{
    note_error(self);
    PyObject *error = take_error();
    PyObject *hook = PyObject_GetAttr((PyObject *)self, self->impl->st->str_leave);
    if (hook == NULL) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    restore_error(error);
    if (hook != NULL) {
        call_to_close(self, hook, NULL);
        Py_DECREF(hook);
    }
}

static PyObject *
scope_enter(scopeobject *self, PyObject *Py_UNUSED(ignored))
{
    state *st = self->impl->st;
    int fresh = self->thread == st->zero;
    PyFrameObject *frame = PyEval_GetFrame();
    if (frame != NULL) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        self->by_generator = (code->co_flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
        Py_DECREF(code);
    }
    if (call_method(self, st->str_enter) < 0) {
        if (fresh) {
            leave_with_error(self);
        }
        return NULL;
    }
    return Py_NewRef((PyObject *)self);
}

static PyObject *
scope_exit(scopeobject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3) {
        return PyErr_Format(PyExc_TypeError, "__exit__() takes 3 arguments, not %zd", nargs);
    }
    PyObject *name = self->impl->st->str_leave;
    PyObject *left = PyObject_CallMethodOneArg((PyObject *)self, name, args[1]);
    if (left == NULL) { /* what was struck is done now, and nothing twice */
        PyObject *error = take_error(), *before = begin_handling(error);
        left = PyObject_CallMethodOneArg((PyObject *)self, name, args[1]);
        end_handling(before);
        if (left == NULL && is_open(self)) {
            if (args[1] != Py_None) {
                Py_XSETREF(self->error, Py_NewRef(args[1]));
            }
            note_unfinished(self, (PyObject *)self, self->impl->st->str_close_late);
        }
        if (left == NULL) {
            Py_DECREF(error);
            return NULL;
        }
        restore_error(error);
        Py_CLEAR(left);
    }
    return left;
}

static PyObject *
scope_restore(scopeobject *self, PyObject *displaced)
{
    PyObject *left;
    if (displaced == self->impl->st->attached) {
        return call_method(self, self->impl->st->str_detach) < 0 ? NULL : Py_NewRef(Py_None);
    }
    int result = put_back(self, displaced, &left);
    Py_XDECREF(left);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
scope_bind(scopeobject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *displaced;
    if (bind(self, &displaced) < 0) {
        return NULL;
    }
    return displaced == NULL ? Py_NewRef(Py_None) : displaced;
}

static PyObject *
scope_unbind(scopeobject *self, PyObject *displaced)
{
    return unbind(self, displaced) < 0 ? NULL : Py_NewRef(Py_None);
}
