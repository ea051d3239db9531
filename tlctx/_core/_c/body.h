/* ScopedIterator: an iterable whose code runs with a scope bound. */

static PyObject *
iterator_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {"iterable", "scope", NULL};
    PyObject *iterable, *scope;
    if (kw == NULL && PyTuple_GET_SIZE(args) == 2) { /* as the middleware calls it */
        iterable = PyTuple_GET_ITEM(args, 0);
        scope = PyTuple_GET_ITEM(args, 1);
    }
    else if (!PyArg_ParseTupleAndKeywords(args, kw, "OO:ScopedIterator", names, &iterable, &scope)) {
        return NULL;
    }
    PyObject *module = PyType_GetModuleByDef(type, &module_def);
    if (module == NULL) {
        return NULL;
    }
    if (!PyObject_TypeCheck(scope, ((state *)PyModule_GetState(module))->scope_type)) {
        return PyErr_Format(PyExc_TypeError, "a ScopedIterator needs a Scope, not %s", short_name(Py_TYPE(scope)));
    }
    iteratorobject *self = (iteratorobject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->iterable = Py_NewRef(iterable);
        self->scope = (scopeobject *)Py_NewRef(scope);
    }
    return (PyObject *)self;
}

static int
iterator_traverse(iteratorobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->iterable);
    Py_VISIT(self->iterator);
    Py_VISIT(self->owner);
    Py_VISIT(self->scope);
    return 0;
}

static int
iterator_clear(iteratorobject *self)
{
    Py_CLEAR(self->iterable);
    Py_CLEAR(self->iterator);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->scope);
    return 0;
}

static void
iterator_dealloc(iteratorobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    iterator_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The result of `step(subject)` with the scope bound; NULL without an error at an iterator's end. */
static PyObject *
iterator_run_in_scope(iteratorobject *self, PyObject *(*step)(PyObject *), PyObject *subject)
{
    scopeobject *scope = self->scope;
    PyObject *result = NULL, *displaced;
    Py_INCREF(subject);
    if (scope == NULL || scope->namespace == scope->impl->st->ended) {
        result = step(subject);
        Py_DECREF(subject);
        return result;
    }
    Py_INCREF(scope);
    if (bind(scope, &displaced) == 0) {
        result = step(subject);
        if (result == NULL && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_StopIteration)) {
            note_error(scope);
            iterator_call_hook(self, scope, scope->impl->st->str_on_step_error);
        }
        result = unbind_after(scope, displaced, result);
        Py_XDECREF(displaced);
    }
    else if (is_open(scope)) {
        note_error(scope);
        if (PyErr_ExceptionMatches(PyExc_RecursionError)) { /* where no stack is left to find out that it is dropped */
            note_unfinished(scope, self->owner != NULL ? self->owner : (PyObject *)self, scope->impl->st->str_close);
        }
    }
    Py_DECREF(scope);
    Py_DECREF(subject);
    return result;
}

/* The iterator of a body whose iterable begins anew each time. Steals `iterator`. */
static PyObject *
iterator_make_other(iteratorobject *self, PyObject *iterator)
{
    PyTypeObject *type = Py_TYPE(self);
    iteratorobject *other = (iteratorobject *)type->tp_alloc(type, 0);
    if (other == NULL) {
        Py_DECREF(iterator);
        return NULL;
    }
    other->iterable = Py_NewRef(iterator);
    other->iterator = iterator;
    other->owner = Py_NewRef((PyObject *)self);
    other->scope = (scopeobject *)Py_XNewRef((PyObject *)self->scope);
    return (PyObject *)other;
}

static PyObject *
iterator_iter(iteratorobject *self)
{
    PyObject *iterable = self->iterable, *iterator;
    if (iterable == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this iterator was collected");
        return NULL;
    }
    if (self->owner != NULL || PyGen_CheckExact(iterable)) {
        Py_XSETREF(self->iterator, Py_NewRef(iterable));
        return Py_NewRef((PyObject *)self);
    }
    if (Py_EnterRecursiveCall(" in iter() of a body")) {
        return NULL;
    }
    Py_INCREF(iterable);
    iterator = iterator_run_in_scope(self, PyObject_GetIter, iterable);
    int same = iterator == iterable;
    Py_DECREF(iterable);
    Py_LeaveRecursiveCall();
    if (iterator != NULL && !same) {
        return iterator_make_other(self, iterator);
    }
    if (iterator == NULL) {
        return NULL;
    }
    Py_XSETREF(self->iterator, iterator);
    return Py_NewRef((PyObject *)self);
}

static PyObject *
next_of(PyObject *iterator)
{
    return Py_TYPE(iterator)->tp_iternext(iterator);
}

static PyObject *
iterator_iternext(iteratorobject *self)
{
    if (self->iterator == NULL) {
        PyObject *other = iterator_iter(self);
        if (other == NULL) {
            return NULL;
        }
        Py_XSETREF(self->iterator, Py_XNewRef(((iteratorobject *)other)->iterator));
        Py_DECREF(other);
    }
    if (self->iterator == NULL) { /* collected */
        return NULL;
    }
    if (Py_EnterRecursiveCall(" in next() of a body")) {
        return NULL;
    }
    int counts = self->scope != NULL && is_open(self->scope);
    PyObject *item = iterator_run_in_scope(self, next_of, self->iterator);
    Py_LeaveRecursiveCall();
    if (item != NULL && counts && self->scope != NULL) {
        self->scope->chunks++;
    }
    if (item == NULL && (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_StopIteration))) {
        (self->owner == NULL ? self : (iteratorobject *)self->owner)->exhausted = 1;
    }
    return item;
}

static PyMethodDef iterator_methods[] = {
    {"close", (PyCFunction)iterator_close, METH_NOARGS,
     "Close the iterable, if it can be closed, with the scope bound, and then the scope."},
    {NULL},
};

static PyMemberDef iterator_members[] = {
    {"_exhausted", T_BOOL, offsetof(iteratorobject, exhausted), READONLY, NULL},
    {"_iterable", T_OBJECT, offsetof(iteratorobject, iterable), 0, NULL},
    {"_iterator", T_OBJECT, offsetof(iteratorobject, iterator), READONLY, NULL},
    {"_scope", T_OBJECT, offsetof(iteratorobject, scope), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(iteratorobject, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot iterator_slots[] = {
    {Py_tp_doc,
     "An iterable whose code runs with a scope bound: `iter()` of it, each step, and its `close()`.\n\n"
     "Subclasses implement: `_on_step_error(error)`, after a step that raised anything but StopIteration;\n"
     "`_on_close()`, to close a scope with a teardown; `_on_close_error(error)`, after a `close()` that raised;\n"
     "`_on_drop()`, when the collector finds the iterator while its scope is open. `_exhausted` says whether it was read\n"
     "to its end."},
    {Py_tp_new, iterator_new},
    {Py_tp_dealloc, iterator_dealloc},
    {Py_tp_finalize, iterator_finalize},
    {Py_tp_traverse, iterator_traverse},
    {Py_tp_clear, iterator_clear},
    {Py_tp_iter, iterator_iter},
    {Py_tp_iternext, iterator_iternext},
    {Py_tp_methods, iterator_methods},
    {Py_tp_members, iterator_members},
    {0, NULL},
};

static PyType_Spec iterator_spec = {
    .name = "tlctx._core._accelerator.ScopedIterator",
    .basicsize = sizeof(iteratorobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = iterator_slots,
};
