/* bound: the block in which a scope is bound. It is entered and left in C, so that nothing can strike in between. */

static PyObject *
bound_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {"scope", NULL};
    PyObject *scope, *module = PyType_GetModuleByDef(type, &module_def);
    if (module == NULL || !PyArg_ParseTupleAndKeywords(args, kw, "O:bound", names, &scope)) {
        return NULL;
    }
    if (!PyObject_TypeCheck(scope, ((state *)PyModule_GetState(module))->scope_type)) {
        return PyErr_Format(PyExc_TypeError, "bound() needs a Scope, not %s", short_name(Py_TYPE(scope)));
    }
    boundobject *self = (boundobject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->scope = (scopeobject *)Py_NewRef(scope);
    }
    return (PyObject *)self;
}

static int
bound_traverse(boundobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->scope);
    Py_VISIT(self->displaced);
    return 0;
}

static int
bound_clear(boundobject *self)
{
    Py_CLEAR(self->scope);
    Py_CLEAR(self->displaced);
    return 0;
}

static void
bound_dealloc(boundobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    bound_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
bound_enter(boundobject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *displaced;
    if (self->scope == NULL || bind(self->scope, &displaced) < 0) {
        return NULL;
    }
    self->is_bound = 1;
    Py_XSETREF(self->displaced, displaced);
    return Py_NewRef((PyObject *)self->scope);
}

static PyObject *
bound_exit(boundobject *self, PyObject *Py_UNUSED(arguments))
{
    if (!self->is_bound || self->scope == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *displaced = self->displaced;
    self->displaced = NULL;
    self->is_bound = 0;
    int result = unbind(self->scope, displaced);
    Py_XDECREF(displaced);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef bound_methods[] = {
    {"__enter__", (PyCFunction)bound_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)bound_exit, METH_VARARGS, NULL},
    {NULL},
};

static PyType_Slot bound_slots[] = {
    {Py_tp_doc,
     "A block in which `scope` is current on this thread; afterwards the thread is as it was before.\n\n"
     "A scope may be bound any number of times, on any thread, by one thread at a time. Leaving the block does not close\n"
     "it. Raises TypeError for what is no Scope. Entering raises RequestEndedError if the scope has ended."},
    {Py_tp_new, bound_new},
    {Py_tp_dealloc, bound_dealloc},
    {Py_tp_traverse, bound_traverse},
    {Py_tp_clear, bound_clear},
    {Py_tp_methods, bound_methods},
    {0, NULL},
};

static PyType_Spec bound_spec = {
    .name = "tlctx._core._accelerator.bound",
    .basicsize = sizeof(boundobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = bound_slots,
};
