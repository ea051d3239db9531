/* What differs between the versions of the interpreter, and all use of what is not public in it.

   What to do when one of these goes:

   - `_PyType_Lookup`, `_PyType_LookupRef`: look into PyType_GetDict() of each class in `tp_mro`, which is slower, so
     remember what is found (names.h) for any name.
   - `tp_version_tag`: watch each class that has an entry, by PyType_Watch(), or drop names.h and look each name up.
   - `exc_info`: PyErr_GetHandledException() and PyErr_SetHandledException() do the same, but for the generator that calls us:
     it would keep, as its own, an exception that its caller handles.
   - `_Py_T_OBJECT`: a getter that gives None for NULL.

   `ma_version_tag` went with 3.14, where watchers do its work. */

/* How members are described; OBJECT_OR_NONE reads None for NULL. */
#if PY_VERSION_HEX >= 0x030C0000
#define OBJECT_OR_NONE _Py_T_OBJECT
#else
#include <structmember.h>
#define OBJECT_OR_NONE T_OBJECT
#define Py_T_BOOL T_BOOL
#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_T_ULONGLONG T_ULONGLONG
#define Py_READONLY READONLY
#endif

/* A number of the running thread state that no other one of this interpreter ever has. */
#if PY_VERSION_HEX >= 0x030E0000
#define thread_id() PyThreadState_GetID(PyThreadState_GetUnchecked())
#elif PY_VERSION_HEX >= 0x030D0000
#define thread_id() (PyThreadState_GetUnchecked()->id)
#else
#define thread_id() (_PyThreadState_UncheckedGet()->id)
#endif

/* What a class has under a name, borrowed from it; NULL, without an error, if it has nothing there. */
#define class_attribute(type, name) _PyType_Lookup(type, name)

/* A number that no other class has, and that this one loses when it or one of its bases changes; 0 for none. */
#define class_version(type) ((type)->tp_version_tag)

/* What a class or one of its bases has under `name`, as a new reference; NULL without an error if they have nothing. */
static inline PyObject *
look_up_in_class(PyTypeObject *type, PyObject *name)
{
#if PY_VERSION_HEX >= 0x030D0000
    return _PyType_LookupRef(type, name);
#else
    return Py_XNewRef(_PyType_Lookup(type, name));
#endif
}

/* What says of a class that its objects have a dict, which the interpreter makes. */
#ifdef Py_TPFLAGS_INLINE_VALUES
#define OBJECT_DICT_FLAGS (Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_INLINE_VALUES)
#else
#define OBJECT_DICT_FLAGS Py_TPFLAGS_MANAGED_DICT
#endif

/* Whether objects of two classes may become each other's, whose dicts were added by these classes, as far as the dicts go. */
#if PY_VERSION_HEX >= 0x030F0000
#define dicts_are_alike(one, other) 1
#else
#define dicts_are_alike(one, other) ((one)->tp_base == (other)->tp_base)
#endif

static int
platform_looks_plain(state *st)
{
    return PyDict_GetItemWithError(st->threading, st->str_local) == st->plain_kind;
}

#if PY_VERSION_HEX < 0x030E0000

/* The version of a dict, which no other dict has and which changes with the dict (PEP 509). */
static inline uint64_t
dict_version(PyObject *dict)
{
_Py_COMP_DIAG_PUSH
_Py_COMP_DIAG_IGNORE_DEPR_DECLS
    return ((PyDictObject *)dict)->ma_version_tag;
_Py_COMP_DIAG_POP
}

/* Whether `threading.local` is the interpreter's own. */
static inline int
platform_is_plain(state *st)
{
    return st->plain_version == dict_version(st->threading);
}

static void
look_at_platform(state *st)
{
    st->plain_version = platform_looks_plain(st) ? dict_version(st->threading) : 0;
}

static void
watch_dicts(state *Py_UNUSED(st))
{
}

static void
unwatch_dicts(state *Py_UNUSED(st))
{
}

/* A number that sys.modules had never before if it has changed since a look at it; 0: look at it each time. */
static inline uint64_t
modules_version(state *st)
{
    return dict_version(st->modules);
}

#else

/* Set for good when the name that a watcher is about has changed, in whichever interpreter of this process. From then on
   each access looks it up. A watcher is told before the change. */
static int platform_changed, flows_changed;

static int
is_one_of(PyObject *key, const char *const *names)
{
    while (*names != NULL && !PyUnicode_EqualToUTF8(key, *names)) {
        names++;
    }
    return *names != NULL;
}

static int
threading_changes(PyDict_WatchEvent Py_UNUSED(event), PyObject *Py_UNUSED(dict), PyObject *key, PyObject *Py_UNUSED(value))
{
    static const char *const names[] = {"local", NULL};
    if (key == NULL || (PyUnicode_Check(key) && is_one_of(key, names))) { /* without a key all of it changes */
        platform_changed = 1;
    }
    return 0;
}

static int
modules_change(PyDict_WatchEvent Py_UNUSED(event), PyObject *Py_UNUSED(dict), PyObject *key, PyObject *Py_UNUSED(value))
{
    static const char *const names[] = {"asyncio", "curio", "greenlet", "trio", NULL};
    if (key == NULL || (PyUnicode_Check(key) && is_one_of(key, names))) {
        flows_changed = 1;
    }
    return 0;
}

/* Have `callback` told of each change of `dict`. Returns one more than the watcher's id; 0 if all watchers are taken. */
static int
watch(PyObject *dict, PyDict_WatchCallback callback)
{
    int id = PyDict_AddWatcher(callback);
    if (id >= 0 && PyDict_Watch(id, dict) < 0) {
        PyDict_ClearWatcher(id);
        id = -1;
    }
    if (id < 0) {
        PyErr_Clear();
    }
    return id + 1;
}

static void
unwatch(PyObject *dict, int *watcher)
{
    if (*watcher > 0 && (PyDict_Unwatch(*watcher - 1, dict) < 0 || PyDict_ClearWatcher(*watcher - 1) < 0)) {
        PyErr_Clear();
    }
    *watcher = 0;
}

static void
watch_dicts(state *st)
{
    st->threading_watcher = watch(st->threading, threading_changes);
    st->modules_watcher = watch(st->modules, modules_change);
}

static void
unwatch_dicts(state *st)
{
    unwatch(st->threading, &st->threading_watcher);
    unwatch(st->modules, &st->modules_watcher);
}

static inline int
platform_is_plain(state *st)
{
    return (st->plain_version != 0 && !platform_changed) || platform_looks_plain(st);
}

static void
look_at_platform(state *st)
{
    st->plain_version = st->threading_watcher != 0 && platform_looks_plain(st);
}

static inline uint64_t
modules_version(state *st)
{
    return st->modules_watcher != 0 && !flows_changed;
}

#endif

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

