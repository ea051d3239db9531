/* Subclasses of `local`: their objects have no dict but their threads'. */

/* The objects of a class without __slots__ would have a dict of the interpreter's too, which all threads share and which
   object.__setattr__() writes to. They go without: the class is told so before it makes its first object, as the dict's place
   is in front of the object. */
static void
leave_out_object_dict(PyTypeObject *type)
{
    if (PyType_HasFeature(type, Py_TPFLAGS_MANAGED_DICT)) {
        type->tp_flags &= ~(unsigned long)OBJECT_DICT_FLAGS;
        type->tp_dictoffset = 0;
        PyType_Modified(type);
    }
}

/* The topmost of the class and its bases that has no __slots__, and would have given the objects of all below it that dict. */
static PyTypeObject *
adds_object_dict(state *st, PyTypeObject *type)
{
    PyTypeObject *found = NULL;
    for (; type != NULL && type != st->local_type; type = type->tp_base) {
        int has_it = PyDict_Contains(type->tp_dict, st->str_dict);
        if (has_it > 0) {
            found = type;
        }
        if (has_it < 0) {
            PyErr_Clear();
        }
    }
    return found;
}

/* Whether an object of `type` may become one of `value` as far as that dict goes, as with `threading.local`. */
static int
keeps_layout(state *st, PyTypeObject *type, PyObject *value)
{
    if (!PyType_Check(value) || !PyType_IsSubtype((PyTypeObject *)value, st->local_type)) {
        return 1; /* the interpreter will refuse it */
    }
    PyTypeObject *mine = adds_object_dict(st, type), *other = adds_object_dict(st, (PyTypeObject *)value);
    if (mine == other || (mine != NULL && other != NULL && dicts_are_alike(mine, other))) {
        return 1;
    }
    PyErr_Format(PyExc_TypeError, "__class__ assignment: '%s' object layout differs from '%s'",
                 short_name((PyTypeObject *)value), short_name(type));
    return 0;
}

static PyObject *
local_init_subclass(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    PyObject *module = PyType_GetModuleByDef(type, &module_def);
    if (module == NULL) {
        return NULL;
    }
    leave_out_object_dict(type);
    state *st = PyModule_GetState(module);
    PyObject *next = PyObject_CallFunctionObjArgs((PyObject *)&PySuper_Type, st->local_type, type, NULL);
    PyObject *method = next == NULL ? NULL : PyObject_GetAttr(next, st->str_init_subclass);
    PyObject *result = method == NULL ? NULL : PyObject_Call(method, args, kw);
    Py_XDECREF(method);
    Py_XDECREF(next);
    return result;
}
