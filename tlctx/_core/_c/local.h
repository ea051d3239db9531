/* local: the type. Its attributes are those of the running thread's dict. */

static PyObject *
local_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    if ((PyTuple_GET_SIZE(args) > 0 || (kw != NULL && PyDict_GET_SIZE(kw) > 0))
        && type->tp_init == PyBaseObject_Type.tp_init) {
        return PyErr_Format(PyExc_TypeError, "%s() takes no arguments: it has no __init__ that would use them",
                            short_name(type));
    }
    PyObject *module = PyType_GetModuleByDef(type, &module_def);
    if (module == NULL) {
        return NULL;
    }
    leave_out_object_dict(type); /* again, if the class has an __init_subclass__ of its own */
    implobject *impl = impl_new(module, args, kw);
    if (impl == NULL) {
        return NULL;
    }
    localobject *self = (localobject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(impl);
        return NULL;
    }
    self->impl = impl;
    /* The caller runs __init__ here and now; with a dict in place we won't run it a second time. */
    PyObject *dict = impl_make_dict(impl);
    if (dict == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    Py_DECREF(dict);
    return (PyObject *)self;
}

static int
local_traverse(localobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->impl);
    return 0;
}

static void
local_dealloc(localobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Py_XDECREF(self->impl);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
local_reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    return PyErr_Format(PyExc_TypeError, "a '%s' can't be copied or pickled: the copy would be one more name for it",
                        short_name(Py_TYPE(self)));
}

static PyObject *
local_attribute_error(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *error, *values;
    return PyArg_UnpackTuple(args, "_local__attribute_error", 2, 2, &error, &values) ? Py_NewRef(error) : NULL;
}

static PyMethodDef local_methods[] = {
    {"__init_subclass__", (PyCFunction)(void (*)(void))local_init_subclass, METH_CLASS | METH_VARARGS | METH_KEYWORDS, NULL},
    {"__reduce_ex__", local_reduce, METH_O, NULL},
    {"_local__make_dict", local_make_dict, METH_NOARGS, "Hook: the dict for a thread that has none."},
    {"_local__attribute_error", local_attribute_error, METH_VARARGS,
     "Hook: the exception to raise where `error` says that there is no such attribute, and not in `values`."},
    {NULL},
};

static PyMemberDef local_members[] = {
    {"_local__impl", Py_T_OBJECT_EX, offsetof(localobject, impl), Py_READONLY, NULL},
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(localobject, weakrefs), Py_READONLY, NULL},
    {NULL},
};

static PyType_Slot local_slots[] = {
    {Py_tp_doc,
     "Thread-local data: a drop-in for `threading.local`.\n\n"
     "Each thread (under gevent each greenlet) that touches the object sees attributes of its own, which are gone when it\n"
     "has ended. The `__init__` of a subclass runs again, with the constructor's arguments, in every thread.\n\n"
     "Raises TypeError for arguments without an `__init__` to take them, and when copied or pickled.\n"},
    {Py_tp_new, local_new},
    {Py_tp_dealloc, local_dealloc},
    {Py_tp_traverse, local_traverse},
    {Py_tp_getattro, local_getattro},
    {Py_tp_setattro, local_setattro},
    {Py_tp_methods, local_methods},
    {Py_tp_members, local_members},
    {0, NULL},
};

static PyType_Spec local_spec = {
    .name = "tlctx._core._accelerator.local",
    .basicsize = sizeof(localobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = local_slots,
};
