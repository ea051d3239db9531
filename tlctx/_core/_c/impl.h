/* _localimpl: the type of the map, as Python code sees it. */

static implobject *
impl_new(PyObject *module, PyObject *args, PyObject *kw)
{
    state *st = PyModule_GetState(module);
    implobject *impl = (implobject *)st->impl_type->tp_alloc(st->impl_type, 0);
    if (impl == NULL) {
        return NULL;
    }
    impl->module = Py_NewRef(module);
    impl->st = st;
    impl->owner = NO_THREAD;
    impl->serial = PyObject_CallNoArgs(st->next_serial);
    impl->dicts = PyDict_New();
    kw = kw == NULL ? PyDict_New() : Py_NewRef(kw);
    impl->localargs = kw == NULL ? NULL : PyTuple_Pack(2, args, kw);
    Py_XDECREF(kw);
    if (impl->serial == NULL || impl->dicts == NULL || impl->localargs == NULL) {
        Py_DECREF(impl);
        return NULL;
    }
    return impl;
}

static int
impl_traverse(implobject *impl, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(impl));
    Py_VISIT(impl->module);
    Py_VISIT(impl->dicts);
    Py_VISIT(impl->localargs);
    Py_VISIT(impl->ref);
    Py_VISIT(impl->dict);
    return 0;
}

/* The map stays, so that it need not be asked for; it is emptied by its own tp_clear. */
static int
impl_clear(implobject *impl)
{
    impl_empty_cache(impl);
    Py_CLEAR(impl->localargs);
    return 0;
}

static void
impl_dealloc(implobject *impl)
{
    PyTypeObject *type = Py_TYPE(impl);
    PyObject_GC_UnTrack(impl);
    if (impl->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)impl);
    }
    impl_clear(impl);
    Py_CLEAR(impl->dicts);
    Py_CLEAR(impl->serial);
    Py_CLEAR(impl->module);
    type->tp_free(impl);
    Py_DECREF(type);
}

static PyObject *
impl_get_dict(implobject *impl, PyObject *Py_UNUSED(ignored))
{
    PyObject *dict;
    if (impl_get(impl, &dict) == 0 && dict == NULL) {
        PyErr_SetObject(PyExc_KeyError, impl->key == NULL ? Py_None : impl->key);
    }
    return dict;
}

static PyObject *
impl_create_dict(implobject *impl, PyObject *Py_UNUSED(ignored))
{
    return impl_make_dict(impl);
}

static PyObject *
impl_swap_dict(implobject *impl, PyObject *new)
{
    if (new != Py_None && !PyDict_Check(new)) {
        return PyErr_Format(PyExc_TypeError, "a thread's data must be a dict or None, not %s", short_name(Py_TYPE(new)));
    }
    PyObject *old;
    if (impl_store(impl, new == Py_None ? NULL : new, &old) < 0) {
        return NULL;
    }
    return old == NULL ? Py_NewRef(Py_None) : old;
}

static PyObject *
impl_forget(implobject *impl, PyObject *key)
{
    cache_entry old = {NULL};
    if (impl->key != NULL) {
        int same = PyObject_RichCompareBool(impl->key, key, Py_EQ);
        if (same < 0) {
            return NULL;
        }
        if (same) {
            old = impl_exchange(impl, NO_THREAD, old);
        }
    }
    int removed = map_remove(impl->dicts, key);
    entry_release(&old);
    return removed < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
impl_get_dicts(implobject *impl, void *Py_UNUSED(closure))
{
    return impl_write(impl) < 0 ? NULL : Py_NewRef(impl->dicts);
}

static PyMethodDef impl_methods[] = {
    {"get_dict", (PyCFunction)impl_get_dict, METH_NOARGS, "The running thread's dict. Raises KeyError if it has none."},
    {"create_dict", (PyCFunction)impl_create_dict, METH_NOARGS,
     "Make a new, empty dict the running thread's, and return it."},
    {"swap_dict", (PyCFunction)impl_swap_dict, METH_O,
     "Make `new` the running thread's dict and return the one before; None stands for no dict."},
    {"forget", (PyCFunction)impl_forget, METH_O, "Drop the entry under the id `key` of a Thread, which has ended."},
    {NULL},
};

static PyMemberDef impl_members[] = {
    {"localargs", Py_T_OBJECT_EX, offsetof(implobject, localargs), Py_READONLY,
     "The constructor's arguments: a tuple and a dict."},
    {"serial", Py_T_OBJECT_EX, offsetof(implobject, serial), Py_READONLY,
     "A number no other `local` of this interpreter has."},
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(implobject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef impl_getset[] = {
    {"dicts", (getter)impl_get_dicts, NULL, "{id(Thread): (ref(Thread), dict)}, as it is now: ask again to see more.", NULL},
    {NULL},
};

static PyType_Slot impl_slots[] = {
    {Py_tp_doc, "The map behind one `local`, from each thread to that thread's dict."},
    {Py_tp_dealloc, impl_dealloc},
    {Py_tp_traverse, impl_traverse},
    {Py_tp_clear, impl_clear},
    {Py_tp_methods, impl_methods},
    {Py_tp_members, impl_members},
    {Py_tp_getset, impl_getset},
    {0, NULL},
};

static PyType_Spec impl_spec = {
    .name = "tlctx._core._accelerator._localimpl",
    .basicsize = sizeof(implobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = impl_slots,
};

