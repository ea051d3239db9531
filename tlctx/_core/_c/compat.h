/* What differs between the versions of the interpreter, and all use of what is not public in it.

   When one of these goes: `_PyThreadState_UncheckedGet`, `tstate->id` and `tstate->exc_info` have no public equal before
   3.13 (3.14 for some); `ma_version_tag` has been deprecated since 3.12, and without it `platform_is_plain` looks
   `threading.local` up at each access; without `tp_version_tag` each read looks its name up in the class. */

#if PY_VERSION_HEX >= 0x030D0000
#define thread_state() PyThreadState_GetUnchecked()
#else
#define thread_state() _PyThreadState_UncheckedGet()
#endif

static int
platform_looks_plain(state *st)
{
    return PyDict_GetItemWithError(st->threading, st->str_local) == st->plain_kind;
}

/* The version of a dict, which no other dict has and which changes with the dict (PEP 509); 0 for none. */
#if PY_VERSION_HEX < 0x030E0000
static inline uint64_t
dict_version(PyObject *dict)
{
_Py_COMP_DIAG_PUSH
_Py_COMP_DIAG_IGNORE_DEPR_DECLS
    return ((PyDictObject *)dict)->ma_version_tag;
_Py_COMP_DIAG_POP
}

static inline int
platform_is_plain(state *st)
{
    return st->plain_version == dict_version(st->threading);
}
#else
#define dict_version(dict) ((uint64_t)0)
#define platform_is_plain(st) platform_looks_plain(st)
#endif

static void
look_at_platform(state *st)
{
    st->plain_version = platform_looks_plain(st) ? dict_version(st->threading) : 0;
}

/* The error that is set, which is not set any more; NULL if there is none. */
static PyObject *
take_error(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
#endif
}

/* Set `error` again, which NULL clears. */
static void
restore_error(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    if (error == NULL) {
        PyErr_Clear();
        return;
    }
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

/* From here on `error` counts as being handled, as in an `except` block. Returns what did before. */
static PyObject *
begin_handling(PyObject *error)
{
    /* PyErr_GetHandledException() would give what a caller further out handles; a generator would keep that. */
    _PyErr_StackItem *here = PyThreadState_Get()->exc_info;
    PyObject *before = here->exc_value;
    here->exc_value = Py_NewRef(error);
    return before;
}

static void
end_handling(PyObject *before)
{
    _PyErr_StackItem *here = PyThreadState_Get()->exc_info;
    PyObject *error = here->exc_value;
    here->exc_value = before;
    Py_XDECREF(error);
}

/* Nanoseconds on the clock of time.monotonic(). */
static int64_t
monotonic(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyTime_t now;
    return PyTime_MonotonicRaw(&now) < 0 ? 0 : now;
#else
    return _PyTime_GetMonotonicClock();
#endif
}

/* The name of a class without its module, as Python's own messages have it. */
static const char *
short_name(PyTypeObject *type)
{
    const char *dot = strrchr(type->tp_name, '.');
    return dot == NULL ? type->tp_name : dot + 1;
}

