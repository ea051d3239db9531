/* What the accelerator takes from Python modules, once, as it is imported. */

static PyObject *
attribute_of(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *value = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(module);
    return value;
}

/* Where the slot `name` of a class lies in its objects; 0 if it is no slot. */
static Py_ssize_t
slot_offset(PyTypeObject *type, PyObject *name)
{
    PyObject *descriptor = class_attribute(type, name);
    if (descriptor == NULL || !Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) {
        return 0;
    }
    PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
    return member->type == Py_T_OBJECT_EX ? member->offset : 0;
}

/* Whether an object of `open` may be made one of `ended` by its type alone. */
static int
same_shape(PyTypeObject *open, PyTypeObject *ended)
{
    return open->tp_basicsize == ended->tp_basicsize && open->tp_itemsize == ended->tp_itemsize
           && open->tp_dictoffset == 0 && ended->tp_dictoffset == 0
           && open->tp_weaklistoffset == ended->tp_weaklistoffset && open->tp_dealloc == ended->tp_dealloc;
}

/* Note the flags of the interpreter, if threads don't inherit context variables by them. */
static int
look_at_flags(state *st)
{
    PyObject *flags = PyDict_GetItemWithError(st->sys, st->str_flags);
    PyObject *inherit = flags == NULL ? NULL : PyObject_GetAttrString(flags, "thread_inherit_context");
    int inherits = inherit == NULL ? 0 : PyObject_IsTrue(inherit);
    Py_XDECREF(inherit);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear(); /* as before 3.14 */
    }
    st->plain_flags = Py_NewRef(inherits || flags == NULL ? Py_None : flags);
    return 0;
}

/* The interpreter's own threading.local; None if gevent's has been put in its place already. */
static PyObject *
plain_local(void)
{
    PyObject *kind = attribute_of("_thread", "_local");
    if (kind != NULL && (!PyType_Check(kind) || strcmp(((PyTypeObject *)kind)->tp_name, "_thread._local") != 0)) {
        Py_SETREF(kind, Py_NewRef(Py_None));
    }
    return kind;
}

/* What attaching a scope needs. */
static int
import_attached(state *st)
{
    PyObject *sys = PyImport_ImportModule("sys");
    st->sys = sys == NULL ? NULL : Py_NewRef(PyModule_GetDict(sys));
    Py_XDECREF(sys);
    if (st->sys == NULL
        || (st->attached_scopes = attribute_of("tlctx._core.attached", "attached_scopes")) == NULL
        || (st->attached_namespace = attribute_of("tlctx._core.attached", "attached_namespace")) == NULL
        || (st->start_threads = attribute_of("tlctx._core.attached", "start_threads_without_scopes")) == NULL
        || (st->outermost_coroutine = attribute_of("tlctx._core.flows", "outermost_coroutine")) == NULL) {
        return -1;
    }
    if (!PyContextVar_CheckExact(st->attached_scopes)) {
        PyErr_SetString(PyExc_TypeError, "tlctx._core.attached.attached_scopes must be a ContextVar");
        return -1;
    }
    return look_at_flags(st);
}

static int
import_objects(state *st)
{
    PyObject *threading = PyImport_ImportModule("threading");
    st->threading = threading == NULL ? NULL : Py_NewRef(PyModule_GetDict(threading));
    Py_XDECREF(threading);
    st->modules = Py_NewRef(PyImport_GetModuleDict());
    if (st->threading == NULL || import_attached(st) < 0
        || (st->plain_kind = plain_local()) == NULL
        || (st->current_record = attribute_of("tlctx._core.threads", "current_record")) == NULL
        || (st->next_serial = attribute_of("tlctx._core.threads", "next_serial")) == NULL
        || (st->namespace_type = (PyTypeObject *)attribute_of("tlctx._core.namespace", "Namespace")) == NULL
        || (st->strict_type = (PyTypeObject *)attribute_of("tlctx._core.namespace", "StrictNamespace")) == NULL
        || (st->ended_type = (PyTypeObject *)attribute_of("tlctx._core.namespace", "EndedNamespace")) == NULL
        || (st->ended = attribute_of("tlctx._core.namespace", "ENDED")) == NULL
        || (st->ended_namespace = attribute_of("tlctx._core.namespace", "ended_namespace")) == NULL
        || (st->attached = attribute_of("tlctx._core.namespace", "ATTACHED")) == NULL
        || (st->in_coroutine = attribute_of("tlctx._core.flows", "in_coroutine")) == NULL
        || (st->in_unpatched_greenlet = attribute_of("tlctx._core.flows", "in_unpatched_greenlet")) == NULL
        || (st->origin_type = (PyTypeObject *)attribute_of("tlctx._core.labels", "Origin")) == NULL
        || (st->no_values = attribute_of("tlctx._core.namespace", "NO_VALUES")) == NULL
        || (st->observers = attribute_of("tlctx._core.observers", "active")) == NULL
        || (st->unfinished = attribute_of("tlctx._core.teardown", "unfinished")) == NULL
        || (st->notify_begin = attribute_of("tlctx._core.observers", "notify_begin")) == NULL
        || (st->notify_end = attribute_of("tlctx._core.observers", "notify_end")) == NULL
        || (st->no_args = PyTuple_New(0)) == NULL || (st->zero = PyLong_FromLong(0)) == NULL) {
        return -1;
    }
    if (!PyDict_CheckExact(st->unfinished)) {
        PyErr_SetString(PyExc_TypeError, "tlctx._core.teardown.unfinished must be a dict");
        return -1;
    }
    if (!PyList_CheckExact(st->observers)) {
        PyErr_SetString(PyExc_TypeError, "tlctx._core.observers.active must be a list");
        return -1;
    }
    return 0;
}
