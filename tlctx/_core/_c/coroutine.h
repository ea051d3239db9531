/* DetachedCoroutine: what a call of an async function that runs with a scope detached returns. It is a coroutine to the
   interpreter and to event loops: it has a coroutine's methods, and complains if nobody awaits it. */

/* Call the function with the scope detached, and have what it returned awaited. 0, or -1 with an error. */
static int
coroutine_begin(coroutineobject *self)
{
    self->before = attach_instead(self->scope->impl->st, NULL, (PyObject *)self->scope);
    if (self->before == NULL) {
        return -1;
    }
    PyObject *arguments[] = {NULL, self->argument};
    size_t nargsf = (self->argument != NULL) | PY_VECTORCALL_ARGUMENTS_OFFSET;
    PyObject *awaited = PyObject_Vectorcall(self->function, arguments + 1, nargsf, NULL);
    if (awaited == NULL || PyCoro_CheckExact(awaited)) {
        self->awaited = awaited;
        return awaited == NULL ? -1 : 0;
    }
    PyAsyncMethods *methods = Py_TYPE(awaited)->tp_as_async;
    if (methods != NULL && methods->am_await != NULL) {
        self->awaited = methods->am_await(awaited);
    }
    else {
        PyErr_Format(PyExc_TypeError, "object %s can't be used in 'await' expression", short_name(Py_TYPE(awaited)));
    }
    Py_DECREF(awaited);
    return self->awaited == NULL ? -1 : 0;
}

/* Put back what was detached, after the last step. An error that is set stays set. 0, or -1 with an error. */
static int
coroutine_end(coroutineobject *self)
{
    PyObject *before = self->before, *error = take_error();
    self->before = NULL;
    self->is_over = 1;
    Py_CLEAR(self->awaited);
    if (before != NULL) {
        Py_XDECREF(PyContextVar_Set(self->scope->impl->st->attached_scopes, before));
        Py_DECREF(before);
    }
    if (error != NULL) {
        restore_error(error);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static PySendResult
coroutine_step(coroutineobject *self, PyObject *value, PyObject **result)
{
    PySendResult status = PYGEN_ERROR;
    *result = NULL;
    if (self->is_over) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    if (self->awaited != NULL || coroutine_begin(self) == 0) {
        PyObject *awaited = Py_NewRef(self->awaited);
        status = PyIter_Send(awaited, value, result);
        Py_DECREF(awaited);
    }
    if (status != PYGEN_NEXT && coroutine_end(self) < 0) {
        Py_CLEAR(*result);
        status = PYGEN_ERROR;
    }
    return status;
}

static PyObject *
coroutine_send(coroutineobject *self, PyObject *value)
{
    PyObject *result;
    if (coroutine_step(self, value, &result) == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        Py_CLEAR(result);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
    }
    return result;
}

static PyObject *
coroutine_next(coroutineobject *self)
{
    return coroutine_send(self, Py_None);
}

/* `name` of what is awaited; NULL without an error if there is nothing, or it has none. */
static PyObject *
method_of_awaited(coroutineobject *self, PyObject *name)
{
    PyObject *method = self->awaited == NULL ? NULL : PyObject_GetAttr(self->awaited, name);
    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return method;
}

/* Raise what throw() was given: an exception, or its class and what it is made of. */
static void
raise_thrown(PyObject *thrown, PyObject *value)
{
    if (PyExceptionInstance_Check(thrown)) {
        PyErr_SetObject((PyObject *)Py_TYPE(thrown), thrown);
    }
    else if (PyExceptionClass_Check(thrown)) {
        PyErr_SetObject(thrown, value);
    }
    else {
        PyErr_Format(PyExc_TypeError, "throw() needs an exception, not %s", short_name(Py_TYPE(thrown)));
    }
}

static PyObject *
coroutine_throw(coroutineobject *self, PyObject *args)
{
    PyObject *thrown, *value = NULL, *traceback = NULL;
    if (!PyArg_UnpackTuple(args, "throw", 1, 3, &thrown, &value, &traceback)) {
        return NULL;
    }
    PyObject *result = NULL, *method = self->is_over ? NULL : method_of_awaited(self, self->scope->impl->st->str_throw);
    if (method != NULL) {
        result = PyObject_Call(method, args, NULL);
        Py_DECREF(method);
    }
    else if (!PyErr_Occurred()) {
        raise_thrown(thrown, value);
    }
    if (result == NULL) {
        coroutine_end(self);
    }
    return result;
}

static PyObject *
coroutine_close(coroutineobject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *method = self->is_over ? NULL : method_of_awaited(self, self->scope->impl->st->str_close);
    if (method != NULL) {
        Py_XDECREF(PyObject_CallNoArgs(method));
        Py_DECREF(method);
    }
    return coroutine_end(self) < 0 ? NULL : Py_NewRef(Py_None);
}


static int
coroutine_traverse(coroutineobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->scope);
    Py_VISIT(self->function);
    Py_VISIT(self->argument);
    Py_VISIT(self->awaited);
    Py_VISIT(self->before);
    return 0;
}

static int
coroutine_clear(coroutineobject *self)
{
    self->is_over = 1;
    Py_CLEAR(self->awaited);
    Py_CLEAR(self->before);
    Py_CLEAR(self->argument);
    Py_CLEAR(self->function);
    Py_CLEAR(self->scope);
    return 0;
}

static void
coroutine_finalize(coroutineobject *self)
{
    if (self->is_over || self->awaited != NULL) {
        return;
    }
    PyObject *error = take_error();
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine of %R was never awaited", self->function) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    restore_error(error);
}

static void
coroutine_dealloc(coroutineobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (!self->is_over && PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    coroutine_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef coroutine_methods[] = {
    {"send", (PyCFunction)coroutine_send, METH_O, NULL},
    {"throw", (PyCFunction)coroutine_throw, METH_VARARGS, NULL},
    {"close", (PyCFunction)coroutine_close, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef coroutine_members[] = {
    {"cr_await", T_OBJECT, offsetof(coroutineobject, awaited), READONLY, "What is awaited, or None."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot coroutine_slots[] = {
    {Py_tp_doc, "A coroutine that runs with a scope detached."},
    {Py_tp_dealloc, coroutine_dealloc},
    {Py_tp_finalize, coroutine_finalize},
    {Py_tp_traverse, coroutine_traverse},
    {Py_tp_clear, coroutine_clear},
    {Py_tp_iternext, coroutine_next},
    {Py_tp_methods, coroutine_methods},
    {Py_tp_members, coroutine_members},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, coroutine_step},
    {0, NULL},
};

static PyType_Spec coroutine_spec = {
    .name = "tlctx._core._accelerator.DetachedCoroutine",
    .basicsize = sizeof(coroutineobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = coroutine_slots,
};
