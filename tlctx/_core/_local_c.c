/* `local` in C, and the binding of a scope: the compiled twins of `_local_py.py` and `_binding_py.py`.

   Theory of operation
   ===================

   What a thread is, and when it has ended, is decided once, in `lifetime.py`. The map from thread to dict is the one that
   the Python twin has. What is added here is a cache in front of the map, one entry for each `local`:

       local --> _localimpl.dicts: {id(Thread): (ref(Thread), dict)}
                    |
                    +--> the slot of the thread that came last: (thread-state id, key, ref, dict)

   1.  The cache counts only for the thread state that filled it. The interpreter never uses the id of one again.

   2.  It counts only while `threading.local` is the interpreter's own. Under gevent greenlets share a thread state, and
       the patching may come at any time, so each access compares the version of threading's dict with the one that was
       looked at. Under gevent every access asks `lifetime.py`.

   3.  A Lifetime that ends calls `forget`, which empties the cache too: nothing of a thread outlives it in here. That is
       why a slot is cached only once its lifetime has enrolled the map.

   4.  `bind` and `unbind` write to the cache alone, which is then `unwritten`, as long as the map has no entry of the thread.
       The map catches up before another thread takes the cache over, and when somebody asks for `dicts`: a look at it always
       shows the truth.

   5.  A value that was read is found again by the versions of the class and of the dict, which change with them. It is
       borrowed, so that it is freed when it should be, and is used only while no one else can write to the dict. It is
       forgotten when the dict is handed out.

   6.  Any call into Python, an allocation that collects garbage, and the end of any object may run code that uses this very
       `local`. So a slot is installed or exchanged in one go, with no such thing in between, and what was displaced is let go
       of last.

   All of it relies on the GIL. A build without one has the Python twin.
*/

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "the compiled twin relies on the GIL; this build has the Python twin"
#endif

#define NO_THREAD UINT64_MAX

/* The names that are looked up, each made once. */
#define STRINGS(each) \
    each(str_absent, "_local__absent") \
    each(str_adopt, "_local__adopt") \
    each(str_asyncio, "asyncio") \
    each(str_close, "close") \
    each(str_defaults, "_local__defaults") \
    each(str_dict, "__dict__") \
    each(str_dropped, "_dropped") \
    each(str_end, "end") \
    each(str_enrol, "enrol") \
    each(str_fail, "_fail") \
    each(str_failed, "_failed") \
    each(str_get, "get") \
    each(str_file_wrapper, "wsgi.file_wrapper") \
    each(str_ident, "ident") \
    each(str_key, "key") \
    each(str_local, "local") \
    each(str_method, "REQUEST_METHOD") \
    each(str_one, "one") \
    each(str_path, "PATH_INFO") \
    each(str_ref, "ref") \
    each(str_run_late, "run_late") \
    each(str_running_loop, "_get_running_loop") \
    each(str_scope, "scope") \
    each(str_serve, "_serve") \
    each(str_settle, "_settle") \
    each(str_thread, "thread")

typedef struct {
    PyTypeObject *impl_type, *local_type, *binding_type, *steps_type, *gate_type;
    PyObject *modules;          /* sys.modules, which the interpreter loses before the last of us goes */
    PyObject *threading;        /* the dict of the module */
    PyObject *plain_kind;       /* the interpreter's own threading.local */
    PyObject *current_lifetime, *next_serial;
    PyTypeObject *namespace_type, *ended_type;
    PyObject *ended, *no_values, *no_args, *zero;
    PyObject *default_adopt, *default_absent;
    Py_ssize_t scope_offset;    /* of a namespace's scope, or 0 if it has to be asked for */
    int ends_by_type;           /* an ended namespace has the shape of an open one */
    uint64_t plain_version;     /* of threading's dict, when threading.local was last seen to be the plain one */
    unsigned long long scopes;  /* how many there were */
#define DECLARE(name, text) PyObject *name;
    STRINGS(DECLARE)
#undef DECLARE
} state;

/* What a class, and a thread's dict, had under a name: so it is for as long as they are of these versions. */
typedef struct {
    PyObject *name;             /* a reference of ours: no other string can come to lie there */
    PyObject *descriptor;       /* borrowed from the class, or NULL for nothing */
    PyObject *value;            /* borrowed from the dict */
    uint64_t dict_version;
    unsigned int class_version;
} attribute;

#define ATTRIBUTES 8

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *module;           /* keeps `st` valid for as long as we are */
    state *st;
    PyObject *dicts, *localargs, *serial;
    uint64_t owner;             /* the id of the thread state that the rest is about */
    PyObject *key, *ref, *ident;
    PyObject *dict;             /* NULL: this thread has none */
    char unwritten;             /* the map does not show `dict` yet */
    char in_map;                /* the map has an entry for this thread */
    char map_was_seen;          /* by code that might write to it */
    attribute known[ATTRIBUTES]; /* by the name's address */
} implobject;

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    implobject *impl;
} localobject;

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    implobject *impl;
    PyObject *context, *environ, *namespace, *resume, *below, *error, *values, *teardowns, *method, *path, *thread;
    unsigned long long serial;
    int64_t started;            /* nanoseconds */
    char claimed, in_loop, carried;
} bindingobject;

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *iterable, *iterator;
    bindingobject *scope;
} stepsobject;

static struct PyModuleDef module_def;

/* What differs between the versions of the interpreter */

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

/* The version of a class, which changes with the class, or 0 for none. */
static inline unsigned int
version_of(PyTypeObject *type)
{
#if PY_VERSION_HEX < 0x030D0000
    if (!PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG)) {
        return 0;
    }
#endif
    return type->tp_version_tag;
}

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

static const char *
short_name(PyTypeObject *type)
{
    const char *dot = strrchr(type->tp_name, '.');
    return dot == NULL ? type->tp_name : dot + 1;
}

/* _localimpl: the map behind one `local`, and the cache in front of it */

typedef struct {
    PyObject *key, *ref, *ident, *dict;
} slot;

static void
slot_release(slot *s)
{
    slot old = *s;
    memset(s, 0, sizeof(*s));
    Py_XDECREF(old.key);
    Py_XDECREF(old.ref);
    Py_XDECREF(old.ident);
    Py_XDECREF(old.dict);
}

static inline int
impl_is_cached(implobject *impl)
{
    return impl->owner == thread_state()->id && platform_is_plain(impl->st);
}

/* Exchange what is cached; the caller lets go of what comes back. */
static slot
impl_exchange(implobject *impl, uint64_t owner, slot s)
{
    slot old = {impl->key, impl->ref, impl->ident, impl->dict};
    impl->owner = owner;
    impl->key = s.key;
    impl->ref = s.ref;
    impl->ident = s.ident;
    impl->dict = s.dict;
    impl->unwritten = 0;
    impl->in_map = s.dict != NULL;
    return old;
}

static void
impl_empty_cache(implobject *impl)
{
    slot old = impl_exchange(impl, NO_THREAD, (slot){NULL});
    slot_release(&old);
}

/* Look for each value again: the dict becomes known to code that may write to it in ways of its own. */
static void
impl_forget_values(implobject *impl)
{
    for (int i = 0; i < ATTRIBUTES; i++) {
        impl->known[i].dict_version = 0;
    }
}

/* Remove the entry under `key`, if there is one. */
static int
map_remove(PyObject *dicts, PyObject *key)
{
    PyObject *entry = PyDict_GetItemWithError(dicts, key);
    if (entry == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_INCREF(entry);
    int result = PyDict_DelItem(dicts, key);
    Py_DECREF(entry);
    return result;
}

/* Have the map show what the cache has. */
static int
impl_write(implobject *impl)
{
    while (impl->unwritten) {
        PyObject *key = Py_NewRef(impl->key), *dict = impl->dict, *entry = NULL;
        int result;
        if (dict != NULL) {
            PyObject *ref = Py_NewRef(impl->ref);
            Py_INCREF(dict);
            entry = PyTuple_Pack(2, ref, dict);
            Py_DECREF(ref);
            int changed = !impl->unwritten || impl->dict != dict || impl->key != key;
            Py_DECREF(dict);
            if (entry == NULL || changed) {
                Py_XDECREF(entry);
                Py_DECREF(key);
                if (entry == NULL) {
                    return -1;
                }
                continue;
            }
        }
        impl->unwritten = 0;
        impl->in_map = entry != NULL;
        result = entry != NULL ? PyDict_SetItem(impl->dicts, key, entry) : map_remove(impl->dicts, key);
        Py_XDECREF(entry);
        if (result < 0 && impl->key == key) {
            impl->unwritten = 1;
        }
        Py_DECREF(key);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

/* The dict that an entry of the map has for the thread of a lifetime, as a new reference; NULL if it is not that thread's. */
static PyObject *
entry_dict(PyObject *entry, PyObject *ref, PyObject *thread)
{
    if (!PyTuple_CheckExact(entry) || PyTuple_GET_SIZE(entry) != 2) {
        return NULL;
    }
    PyObject *known = PyTuple_GET_ITEM(entry, 0), *dict = PyTuple_GET_ITEM(entry, 1);
    if (known != ref) {
#if PY_VERSION_HEX >= 0x030D0000
        PyObject *leads_to = NULL;
        if (!PyWeakref_CheckRef(known) || PyWeakref_GetRef(known, &leads_to) < 0) {
            PyErr_Clear();
            return NULL;
        }
        Py_XDECREF(leads_to);
#else
        PyObject *leads_to = PyWeakref_CheckRef(known) ? PyWeakref_GET_OBJECT(known) : NULL;
#endif
        if (leads_to != thread) {
            return NULL;
        }
    }
    return PyDict_Check(dict) ? Py_NewRef(dict) : NULL;
}

static int
lifetime_enrol(PyObject *lifetime, implobject *impl)
{
    PyObject *done = PyObject_CallMethodOneArg(lifetime, impl->st->str_enrol, (PyObject *)impl);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Find the running thread's slot. 1: it is cached now. 0: it can't be, and `s` has it, owned by the caller. -1: error. */
static int
impl_find(implobject *impl, slot *s, int to_store)
{
    state *st = impl->st;
    int result = -1;
    PyObject *thread = NULL, *lifetime = PyObject_CallNoArgs(st->current_lifetime);
    if (lifetime == NULL || (thread = PyObject_GetAttr(lifetime, st->str_thread)) == NULL
        || (s->key = PyObject_GetAttr(lifetime, st->str_key)) == NULL
        || (s->ref = PyObject_GetAttr(lifetime, st->str_ref)) == NULL
        || (s->ident = PyObject_GetAttr(lifetime, st->str_ident)) == NULL
        || ((to_store || !PyDict_Contains(impl->dicts, s->key)) && lifetime_enrol(lifetime, impl) < 0)) {
        goto done;
    }
    PyObject *entry;
    do {
        if (impl_write(impl) < 0) {
            goto done;
        }
        entry = PyDict_GetItemWithError(impl->dicts, s->key);
    } while (impl->unwritten);
    if (entry != NULL) {
        s->dict = entry_dict(entry, s->ref, thread);
    }
    else if (PyErr_Occurred()) {
        goto done;
    }
    look_at_platform(st);
    if (platform_is_plain(st)) {
        slot old = impl_exchange(impl, thread_state()->id, *s);
        memset(s, 0, sizeof(*s));
        slot_release(&old);
        result = 1;
    }
    else {
        impl_empty_cache(impl);
        result = 0;
    }
done:
    Py_XDECREF(thread);
    Py_XDECREF(lifetime);
    if (result < 0) {
        slot_release(s);
    }
    return result;
}

/* The running thread's dict in `dict`, as a new reference, or NULL if it has none. -1: error. */
static int
impl_get(implobject *impl, PyObject **dict)
{
    slot s = {NULL};
    while (!impl_is_cached(impl)) { /* again, if what impl_find() let go of ran code that used the cache */
        int found = impl_find(impl, &s, 0);
        if (found < 0) {
            *dict = NULL;
            return -1;
        }
        if (found == 0) {
            *dict = Py_XNewRef(s.dict);
            slot_release(&s);
            return 0;
        }
    }
    *dict = Py_XNewRef(impl->dict);
    return 0;
}

/* Write through, where nothing can be cached. */
static int
impl_swap_uncached(implobject *impl, slot *s, PyObject *new, PyObject **old, PyObject **ident)
{
    int result = -1;
    if (new == NULL) {
        result = map_remove(impl->dicts, s->key);
    }
    else {
        PyObject *entry = PyTuple_Pack(2, s->ref, new);
        if (entry != NULL) {
            result = PyDict_SetItem(impl->dicts, s->key, entry);
            Py_DECREF(entry);
        }
    }
    if (result == 0) {
        *old = Py_XNewRef(s->dict);
        if (ident != NULL) {
            *ident = Py_NewRef(s->ident);
        }
    }
    slot_release(s);
    return result;
}

/* Make `new` the running thread's dict, NULL for none; `old` is the one before, as a new reference, or NULL. */
static int
impl_swap(implobject *impl, PyObject *new, PyObject **old, PyObject **ident)
{
    *old = NULL;
    while (!impl_is_cached(impl)) { /* as in impl_get() */
        slot s = {NULL};
        int found = impl_find(impl, &s, new != NULL);
        if (found < 0) {
            return -1;
        }
        if (found == 0) {
            return impl_swap_uncached(impl, &s, new, old, ident);
        }
    }
    *old = impl->dict;
    impl->dict = Py_XNewRef(new);
    impl->unwritten = new != NULL || impl->in_map;
    if (ident != NULL) {
        *ident = Py_NewRef(impl->ident);
    }
    if (impl->in_map && impl_write(impl) < 0) { /* so that the map keeps nothing that has left the slot */
        PyErr_Clear();                          /* for want of memory: then it keeps it a while longer */
    }
    return 0;
}

/* The same, for all to see in the map at once. */
static int
impl_store(implobject *impl, PyObject *new, PyObject **old)
{
    if (impl_swap(impl, new, old, NULL) < 0) {
        return -1;
    }
    if (impl_write(impl) < 0) {
        Py_CLEAR(*old);
        return -1;
    }
    return 0;
}

static PyObject *
impl_make_dict(implobject *impl)
{
    PyObject *old, *dict = PyDict_New();
    if (dict == NULL || impl_store(impl, dict, &old) < 0) {
        Py_XDECREF(dict);
        return NULL;
    }
    Py_XDECREF(old);
    return dict;
}

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
    for (int i = 0; i < ATTRIBUTES; i++) {
        Py_CLEAR(impl->known[i].name);
    }
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
    impl_forget_values(impl);
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
    impl_forget_values(impl);
    if (impl_store(impl, new == Py_None ? NULL : new, &old) < 0) {
        return NULL;
    }
    return old == NULL ? Py_NewRef(Py_None) : old;
}

static PyObject *
impl_forget(implobject *impl, PyObject *key)
{
    slot old = {NULL};
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
    slot_release(&old);
    return removed < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
impl_get_dicts(implobject *impl, void *Py_UNUSED(closure))
{
    impl->map_was_seen = 1;
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
    {"localargs", T_OBJECT, offsetof(implobject, localargs), READONLY, "The constructor's arguments: a tuple and a dict."},
    {"serial", T_OBJECT, offsetof(implobject, serial), READONLY, "A number no other `local` of this interpreter has."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(implobject, weakrefs), READONLY, NULL},
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
    .name = "tlctx._core._local_c._localimpl",
    .basicsize = sizeof(implobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = impl_slots,
};

/* local */

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
local_adopt(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    implobject *impl = ((localobject *)self)->impl;
    PyObject *dict = impl_make_dict(impl);
    if (dict == NULL || Py_TYPE(self)->tp_init == PyBaseObject_Type.tp_init || impl->localargs == NULL) {
        return dict;
    }
    PyObject *localargs = Py_NewRef(impl->localargs);
    int result = Py_TYPE(self)->tp_init(self, PyTuple_GET_ITEM(localargs, 0), PyTuple_GET_ITEM(localargs, 1));
    Py_DECREF(localargs);
    if (result < 0) {
        PyObject *old, *error = take_error();
        if (impl_store(impl, NULL, &old) == 0) {
            Py_XDECREF(old);
        }
        restore_error(error);
        Py_CLEAR(dict);
    }
    return dict;
}

/* The running thread's dict, as a new reference; made by the hook if it has none. */
static PyObject *
local_dict(PyObject *self)
{
    implobject *impl = ((localobject *)self)->impl;
    state *st = impl->st;
    PyObject *dict;
    if (impl_get(impl, &dict) < 0 || dict != NULL) {
        return dict;
    }
    PyObject *hook = _PyType_Lookup(Py_TYPE(self), st->str_adopt);
    if (hook == st->default_adopt) {
        return local_adopt(self, NULL);
    }
    hook = PyObject_GetAttr((PyObject *)Py_TYPE(self), st->str_adopt);
    dict = hook == NULL ? NULL : PyObject_CallOneArg(hook, self);
    Py_XDECREF(hook);
    if (dict != NULL && !PyDict_Check(dict)) {
        PyErr_Format(PyExc_TypeError, "_local__adopt() has to return a dict, not %s", short_name(Py_TYPE(dict)));
        Py_CLEAR(dict);
    }
    return dict;
}

static inline PyObject *
local_quick_dict(PyObject *self)
{
    implobject *impl = ((localobject *)self)->impl;
    if (impl_is_cached(impl) && impl->dict != NULL) {
        return Py_NewRef(impl->dict);
    }
    return local_dict(self);
}

static inline int
is_dict_name(state *st, PyObject *name)
{
    return name == st->str_dict || (!PyUnicode_CHECK_INTERNED(name) && PyUnicode_Compare(name, st->str_dict) == 0);
}

static PyObject *
refuse_name(PyObject *name)
{
    return PyErr_Format(PyExc_TypeError, "attribute name must be string, not '%.200s'", Py_TYPE(name)->tp_name);
}

/* Whether an AttributeError says that `self` has no `name`, and not something else, in the code of a property say. */
static int
is_about(PyObject *error, PyObject *self, PyObject *name)
{
    PyObject *obj = PyObject_GetAttrString(error, "obj"), *missing = PyObject_GetAttrString(error, "name");
    int about = obj == self && missing != NULL && PyObject_RichCompareBool(missing, name, Py_EQ) > 0;
    PyErr_Clear();
    Py_XDECREF(obj);
    Py_XDECREF(missing);
    return about;
}

/* Raise what the hook makes of the AttributeError that is set, if it is that `self` has no `name`. */
static void
local_raise_absent(PyObject *self, PyObject *name)
{
    state *st = ((localobject *)self)->impl->st;
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return;
    }
    PyObject *error = take_error(); /* a look-up with an error set would take it for its own */
    if (_PyType_Lookup(Py_TYPE(self), st->str_absent) == st->default_absent || !is_about(error, self, name)) {
        restore_error(error);
        return;
    }
    PyObject *before = begin_handling(error); /* so that it is the context of what is raised instead */
    PyObject *hook = PyObject_GetAttr((PyObject *)Py_TYPE(self), st->str_absent);
    PyObject *better = hook == NULL ? NULL : PyObject_CallFunctionObjArgs(hook, self, error, NULL);
    Py_XDECREF(hook);
    if (better != NULL && PyExceptionClass_Check(better)) {
        Py_SETREF(better, PyObject_CallNoArgs(better));
    }
    if (better != NULL && !PyExceptionInstance_Check(better)) {
        PyErr_SetString(PyExc_TypeError, "exceptions must derive from BaseException");
        Py_CLEAR(better);
    }
    if (better != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(better), better);
        if (better != error) {
            PyException_SetCause(better, NULL); /* `from None` */
        }
        Py_DECREF(better);
    }
    end_handling(before);
    Py_DECREF(error);
}

static inline attribute *
known_attribute(implobject *impl, PyObject *name)
{
    return &impl->known[((uintptr_t)name >> 4) % ATTRIBUTES];
}

/* What the class has under `name`: borrowed, or NULL. */
static PyObject *
class_lookup(implobject *impl, PyTypeObject *type, PyObject *name)
{
    PyObject *descriptor = _PyType_Lookup(type, name);
    if (PyUnicode_CheckExact(name)) {
        attribute *known = known_attribute(impl, name);
        known->class_version = version_of(type);
        known->descriptor = descriptor;
        known->dict_version = 0;
        if (known->name != name) {
            Py_XSETREF(known->name, Py_NewRef(name));
        }
    }
    return descriptor;
}

/* Whether nobody but the map and we has the dict. Somebody else may write to it in a way that lets go of a value before the
   version changes: an object whose `__dict__` it is does, up to 3.12. So may who has the map. */
static inline int
is_ours_alone(implobject *impl)
{
    return Py_REFCNT(impl->dict) == 2 && !impl->map_was_seen && PyDict_CheckExact(impl->dict);
}

/* The value of an attribute that was read before, as a new reference, or NULL, with an error or for one to look for. */
static inline PyObject *
quick_value(implobject *impl, PyTypeObject *type, PyObject *name)
{
    attribute *known = known_attribute(impl, name);
    if (known->name != name || known->class_version != version_of(type) || known->class_version == 0
        || (known->descriptor != NULL && Py_TYPE(known->descriptor)->tp_descr_set != NULL) || impl->dict == NULL
        || !impl_is_cached(impl)) {
        return NULL;
    }
    int ours = is_ours_alone(impl);
    uint64_t version = dict_version(impl->dict);
    if (ours && version != 0 && version == known->dict_version) {
        return Py_NewRef(known->value);
    }
    PyObject *dict = Py_NewRef(impl->dict), *value = Py_XNewRef(PyDict_GetItemWithError(dict, name));
    if (ours && value != NULL && known->name == name && version == dict_version(dict)) {
        known->value = value;
        known->dict_version = version;
    }
    Py_DECREF(dict);
    return value;
}

static PyObject *
local_getattro(PyObject *self, PyObject *name)
{
    implobject *impl = ((localobject *)self)->impl;
    PyTypeObject *type = Py_TYPE(self);
    PyObject *dict, *descriptor, *value = quick_value(impl, type, name);
    if (value != NULL || PyErr_Occurred()) {
        return value;
    }
    if (!PyUnicode_Check(name)) {
        return refuse_name(name);
    }
    dict = local_quick_dict(self);
    if (dict == NULL) {
        return NULL;
    }
    if (is_dict_name(impl->st, name)) {
        impl_forget_values(impl);
        return dict;
    }
    type = (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(self)); /* which an __init__ may have exchanged */
    descriptor = class_lookup(impl, type, name);
    descrgetfunc get = NULL;
    if (descriptor != NULL) {
        Py_INCREF(descriptor);
        get = Py_TYPE(descriptor)->tp_descr_get;
        if (get != NULL && Py_TYPE(descriptor)->tp_descr_set != NULL) {
            value = get(descriptor, self, (PyObject *)type);
            goto done;
        }
    }
    value = Py_XNewRef(PyDict_GetItemWithError(dict, name));
    if (value == NULL && !PyErr_Occurred()) {
        if (get != NULL) {
            value = get(descriptor, self, (PyObject *)type);
        }
        else if (descriptor != NULL) {
            value = Py_NewRef(descriptor);
        }
        else {
            value = PyObject_GenericGetAttr(self, name);
        }
    }
done:
    if (value == NULL) {
        local_raise_absent(self, name);
    }
    Py_XDECREF(descriptor);
    Py_DECREF(type);
    Py_DECREF(dict);
    return value;
}

/* Set an AttributeError about `self` and `name`; `format` takes the class's name, and the attribute's. */
static void
refuse_attribute(const char *format, PyObject *self, PyObject *name)
{
    PyObject *arguments = Py_BuildValue("(N)", PyUnicode_FromFormat(format, short_name(Py_TYPE(self)), name));
    PyObject *keywords = Py_BuildValue("{sOsO}", "name", name, "obj", self);
    PyObject *error = arguments == NULL || keywords == NULL
                          ? NULL : PyObject_Call(PyExc_AttributeError, arguments, keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    if (error != NULL) {
        PyErr_SetObject(PyExc_AttributeError, error);
        Py_DECREF(error);
    }
}

/* `value` NULL deletes. */
static int
local_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    if (!PyUnicode_Check(name)) {
        refuse_name(name);
        return -1;
    }
    if (is_dict_name(((localobject *)self)->impl->st, name)) {
        refuse_attribute("'%s' object attribute %R is read-only", self, name);
        return -1;
    }
    PyObject *dict = local_quick_dict(self);
    if (dict == NULL) {
        return -1;
    }
    int result;
    PyObject *descriptor = _PyType_Lookup(Py_TYPE(self), name);
    descrsetfunc set = descriptor == NULL ? NULL : Py_TYPE(descriptor)->tp_descr_set;
    if (set != NULL) {
        Py_INCREF(descriptor);
        result = set(descriptor, self, value);
        Py_DECREF(descriptor);
    }
    else if (Py_TYPE(dict)->tp_as_mapping->mp_ass_subscript != PyDict_Type.tp_as_mapping->mp_ass_subscript) {
        result = value == NULL ? PyObject_DelItem(dict, name) : PyObject_SetItem(dict, name, value);
    }
    else if (value != NULL) {
        result = PyDict_SetItem(dict, name, value);
    }
    else {
        result = PyDict_DelItem(dict, name);
    }
    Py_DECREF(dict);
    if (result < 0 && value == NULL && set == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Clear();
        refuse_attribute("'%s' object has no attribute %R", self, name);
        local_raise_absent(self, name);
    }
    return result;
}

static PyObject *
local_reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    return PyErr_Format(PyExc_TypeError, "a '%s' can't be copied or pickled: the copy would be one more name for it",
                        short_name(Py_TYPE(self)));
}

static PyObject *
local_absent(PyObject *Py_UNUSED(self), PyObject *error)
{
    return Py_NewRef(error);
}

static PyMethodDef local_methods[] = {
    {"__reduce_ex__", local_reduce, METH_O, NULL},
    {"_local__adopt", local_adopt, METH_NOARGS, "Hook: the dict for a thread that has none."},
    {"_local__absent", local_absent, METH_O,
     "Hook: the exception to raise where `error` says that there is no such attribute."},
    {NULL},
};

static PyMemberDef local_members[] = {
    {"_local__impl", T_OBJECT_EX, offsetof(localobject, impl), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(localobject, weakrefs), READONLY, NULL},
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
    .name = "tlctx._core._local_c.local",
    .basicsize = sizeof(localobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = local_slots,
};

/* Binding: one request's namespace, and its way into a thread's slot */

/* The nearest namespace from this one down whose scope has not ended: a new reference, or NULL, with an error or for none.
   What is no namespace of a scope counts as one that has not ended. */
static PyObject *
alive(state *st, PyObject *namespace)
{
    Py_INCREF(namespace);
    while (namespace != Py_None && PyObject_TypeCheck(namespace, st->namespace_type)) {
        PyObject *scope = PyObject_GetAttr(namespace, st->str_scope);
        if (scope == NULL) {
            Py_DECREF(namespace);
            return NULL;
        }
        bindingobject *binding = (bindingobject *)scope;
        if (!PyObject_TypeCheck(scope, st->binding_type) || binding->namespace != st->ended) {
            Py_DECREF(scope);
            return namespace;
        }
        PyObject *below = Py_NewRef(binding->below == NULL ? Py_None : binding->below);
        Py_DECREF(scope);
        Py_SETREF(namespace, below);
    }
    if (namespace == Py_None) {
        Py_CLEAR(namespace);
    }
    return namespace;
}

/* Whether an event loop runs on this thread; -1: error. As `lifetime.in_coroutine`. */
static int
in_coroutine(state *st)
{
    PyObject *asyncio = PyDict_GetItemWithError(st->modules, st->str_asyncio);
    if (asyncio == NULL || !PyModule_Check(asyncio)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *running_loop = PyDict_GetItemWithError(PyModule_GetDict(asyncio), st->str_running_loop);
    if (running_loop == NULL) { /* while another thread imports it */
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_INCREF(running_loop);
    PyObject *loop = PyObject_CallNoArgs(running_loop);
    Py_DECREF(running_loop);
    if (loop == NULL) {
        return -1;
    }
    Py_DECREF(loop);
    return loop != Py_None;
}

static int
set_scope(state *st, PyObject *namespace, PyObject *scope)
{
    if (st->scope_offset == 0) {
        return PyObject_SetAttr(namespace, st->str_scope, scope);
    }
    *(PyObject **)((char *)namespace + st->scope_offset) = Py_NewRef(scope);
    return 0;
}

/* A new namespace with the defaults of the context, which knows its scope. */
static PyObject *
make_namespace(state *st, PyObject *context, PyObject *scope)
{
    PyObject *defaults = _PyType_Lookup(Py_TYPE(context), st->str_defaults);
    if (defaults == NULL || !PyDict_Check(defaults)) {
        return PyErr_Format(PyExc_TypeError, "a scope needs a RequestContext, not %s", short_name(Py_TYPE(context)));
    }
    Py_INCREF(defaults);
    PyObject *namespace = PyDict_Type.tp_new(st->namespace_type, st->no_args, NULL);
    if (namespace != NULL
        && ((PyDict_GET_SIZE(defaults) > 0 && PyDict_Update(namespace, defaults) < 0)
            || set_scope(st, namespace, scope) < 0)) {
        Py_CLEAR(namespace);
    }
    Py_DECREF(defaults);
    return namespace;
}

/* What the environ has under `key`: a new reference, or NULL with an error or for nothing. */
static PyObject *
environ_get(state *st, PyObject *environ, PyObject *key)
{
    if (PyDict_CheckExact(environ)) {
        return Py_XNewRef(PyDict_GetItemWithError(environ, key));
    }
    PyObject *value = PyObject_CallMethodOneArg(environ, st->str_get, key);
    if (value == Py_None) {
        Py_CLEAR(value);
    }
    return value;
}

static int
binding_describe(bindingobject *self, state *st)
{
    if (self->environ == st->no_values) {
        return 0;
    }
    self->method = environ_get(st, self->environ, st->str_method);
    if (self->method == NULL && PyErr_Occurred()) {
        return -1;
    }
    self->path = environ_get(st, self->environ, st->str_path);
    return self->path == NULL && PyErr_Occurred() ? -1 : 0;
}

static PyObject *
binding_make(state *st, PyTypeObject *type, PyObject *context, PyObject *environ, PyObject *values)
{
    if (!PyObject_TypeCheck(context, st->local_type)) {
        return PyErr_Format(PyExc_TypeError, "a scope needs a RequestContext, not %s", short_name(Py_TYPE(context)));
    }
    bindingobject *self = (bindingobject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->started = monotonic();
    self->serial = ++st->scopes;
    self->context = Py_NewRef(context);
    self->impl = (implobject *)Py_NewRef((PyObject *)((localobject *)context)->impl);
    self->environ = Py_NewRef(environ == Py_None ? st->no_values : environ);
    self->values = Py_NewRef(values == NULL ? st->no_values : values);
    self->thread = Py_NewRef(st->zero);
    self->namespace = make_namespace(st, context, (PyObject *)self);
    if (self->namespace == NULL || binding_describe(self, st) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->resume = Py_NewRef(self->namespace);
    return (PyObject *)self;
}

static PyObject *
binding_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {"context", "environ", "values", NULL};
    PyObject *context, *environ = Py_None, *values = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "O|OO:Scope", names, &context, &environ, &values)) {
        return NULL;
    }
    PyObject *module = PyType_GetModuleByDef(type, &module_def);
    return module == NULL ? NULL : binding_make(PyModule_GetState(module), type, context, environ, values);
}

static int
binding_traverse(bindingobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->impl);
    Py_VISIT(self->context);
    Py_VISIT(self->environ);
    Py_VISIT(self->namespace);
    Py_VISIT(self->resume);
    Py_VISIT(self->below);
    Py_VISIT(self->error);
    Py_VISIT(self->values);
    Py_VISIT(self->teardowns);
    Py_VISIT(self->method);
    Py_VISIT(self->path);
    Py_VISIT(self->thread);
    return 0;
}

static int
binding_clear(bindingobject *self)
{
    Py_CLEAR(self->context);
    Py_CLEAR(self->environ);
    Py_CLEAR(self->namespace);
    Py_CLEAR(self->resume);
    Py_CLEAR(self->below);
    Py_CLEAR(self->error);
    Py_CLEAR(self->values);
    Py_CLEAR(self->teardowns);
    Py_CLEAR(self->thread);
    return 0;
}

static void
binding_dealloc(bindingobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    binding_clear(self);
    Py_CLEAR(self->impl);
    Py_CLEAR(self->method);
    Py_CLEAR(self->path);
    Py_CLEAR(self->thread);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
binding_check_open(bindingobject *self, const char *use)
{
    PyObject *checked = PyObject_CallMethod((PyObject *)self, "_check_open", "s", use);
    if (checked == NULL) {
        return -1;
    }
    Py_DECREF(checked);
    PyErr_SetString(PyExc_RuntimeError, "a scope that has ended can't be bound");
    return -1;
}

/* Put the scope into the running thread's slot. `displaced`: what was there, as a new reference, or NULL. */
static int
bind(bindingobject *self, PyObject **displaced)
{
    state *st = self->impl->st;
    PyObject *namespace, *ident = NULL;
    *displaced = NULL;
    if (self->resume == self->namespace && self->resume != NULL) {
        namespace = Py_NewRef(self->namespace);
    }
    else {
        if (self->namespace == NULL || self->namespace == st->ended) {
            return binding_check_open(self, "binding a scope");
        }
        namespace = alive(st, self->resume == NULL ? Py_None : self->resume);
        if (namespace == NULL && !PyErr_Occurred()) {
            namespace = Py_NewRef(self->namespace);
        }
        if (namespace != NULL && !PyDict_Check(namespace)) {
            PyErr_Format(PyExc_TypeError, "a scope goes on with a namespace, not with %s", short_name(Py_TYPE(namespace)));
            Py_CLEAR(namespace);
        }
    }
    int in_loop = namespace == NULL ? -1 : in_coroutine(st);
    if (in_loop < 0 || impl_swap(self->impl, namespace, displaced, &ident) < 0) {
        Py_XDECREF(namespace);
        return -1;
    }
    self->in_loop = (char)in_loop;
    Py_XSETREF(self->thread, ident);
    Py_DECREF(namespace);
    return 0;
}

/* Take the scope off the running thread again; `displaced` is borrowed, NULL for none. */
static int
unbind(bindingobject *self, PyObject *displaced)
{
    state *st = self->impl->st;
    PyObject *below = NULL, *left;
    if (displaced != NULL && displaced != Py_None) {
        below = alive(st, displaced);
        if (below == NULL && PyErr_Occurred()) {
            return -1;
        }
        if (below != NULL && !PyDict_Check(below)) {
            PyErr_Format(PyExc_TypeError, "unbind() wants back what bind() returned, not %s",
                         short_name(Py_TYPE(below)));
            Py_DECREF(below);
            return -1;
        }
    }
    PyObject *error = NULL;
    int result = impl_swap(self->impl, below, &left, NULL);
    if (result < 0) { /* a signal handler's timeout, say, in current_lifetime(): the scope has to go all the same */
        error = take_error();
        result = impl_swap(self->impl, below, &left, NULL);
    }
    if (result == 0 && self->namespace != st->ended && self->namespace != NULL) {
        PyObject *before = self->resume;
        self->resume = left;
        left = before;
    }
    Py_XDECREF(below);
    Py_XDECREF(left);
    if (error != NULL) {
        restore_error(error);
        result = -1;
    }
    return result;
}

/* Empty the namespace for good, and let go of the request. */
static int
binding_empty(bindingobject *self)
{
    state *st = self->impl->st;
    PyObject *namespace = self->namespace, *environ = self->environ, *values = self->values, *error = self->error,
             *resume = self->resume;
    int result = 0;
    if (namespace == NULL) { /* collected */
        return 0;
    }
    self->namespace = Py_NewRef(st->ended);
    self->environ = Py_NewRef(st->no_values);
    self->values = Py_NewRef(st->no_values);
    self->error = self->resume = NULL;
    if (st->ends_by_type && Py_IS_TYPE(namespace, st->namespace_type)) {
        Py_SET_TYPE(namespace, (PyTypeObject *)Py_NewRef((PyObject *)st->ended_type));
        Py_DECREF(st->namespace_type);
        PyDict_Clear(namespace);
    }
    else {
        PyObject *ended = PyObject_CallMethodNoArgs(namespace, st->str_end);
        result = ended == NULL ? -1 : 0;
        Py_XDECREF(ended);
    }
    Py_DECREF(namespace);
    Py_XDECREF(environ);
    Py_XDECREF(values);
    Py_XDECREF(error);
    Py_XDECREF(resume);
    if (result == 0 && self->teardowns != NULL && PyDict_GET_SIZE(self->teardowns) > 0) {
        PyObject *late = Py_XNewRef(PyDict_GetItemWithError(self->teardowns, st->str_one));
        if (late == NULL || PyDict_DelItem(self->teardowns, st->str_one) < 0) {
            Py_XDECREF(late);
            return PyErr_Occurred() ? -1 : 0;
        }
        PyObject *done = PyObject_CallMethodNoArgs(late, st->str_run_late);
        result = done == NULL ? -1 : 0;
        Py_XDECREF(done);
        Py_DECREF(late);
    }
    return result;
}

static PyObject *
binding_bind(bindingobject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *displaced;
    if (bind(self, &displaced) < 0) {
        return NULL;
    }
    return displaced == NULL ? Py_NewRef(Py_None) : displaced;
}

static PyObject *
binding_unbind(bindingobject *self, PyObject *displaced)
{
    return unbind(self, displaced) < 0 ? NULL : Py_NewRef(Py_None);
}

/* 1: it has ended, now or before. 0: that takes a teardown. */
static int
finish(bindingobject *self)
{
    if (self->teardowns != NULL && PyDict_GET_SIZE(self->teardowns) > 0) {
        return 0;
    }
    if (!self->claimed) {
        self->claimed = 1;
        if (binding_empty(self) < 0) {
            return -1;
        }
    }
    return 1;
}

static PyObject *
binding_finish(bindingobject *self, PyObject *Py_UNUSED(ignored))
{
    int ended = finish(self);
    return ended < 0 ? NULL : PyBool_FromLong(ended);
}

/* unbind() after a piece of code, whose result is returned, or NULL: with the error that it raised, which stays set. */
static PyObject *
unbind_after(bindingobject *self, PyObject *displaced, PyObject *result)
{
    PyObject *error = result == NULL && PyErr_Occurred() ? take_error() : NULL; /* an iterator may end without one */
    if (error == NULL) {
        if (unbind(self, displaced) < 0) {
            Py_CLEAR(result);
        }
        return result;
    }
    PyObject *before = begin_handling(error);
    int unbound = unbind(self, displaced);
    end_handling(before);
    if (unbound < 0) {
        Py_DECREF(error);
    }
    else {
        restore_error(error);
    }
    return NULL;
}

/* Call `hook(first, second)`, or without the second, while the error that is set is being handled; it is set again
   afterwards, unless the hook raised one, whose context it then is. */
static void
call_handling(PyObject *hook, PyObject *second)
{
    PyObject *error = take_error();
    PyObject *before = begin_handling(error);
    PyObject *done = PyObject_CallFunctionObjArgs(hook, error, second, NULL);
    end_handling(before);
    if (done == NULL) {
        Py_DECREF(error);
        return;
    }
    Py_DECREF(done);
    restore_error(error);
}

/* What the caller returns for `result`, of code that ran with the scope bound; NULL with an error. Steals `result`. */
static PyObject *
settle_result(bindingobject *self, PyObject *result, PyObject *settle, PyObject *note)
{
    int ended = result == Py_None || PyList_CheckExact(result) ? finish(self) : 0;
    if (ended <= 0) {
        PyObject *arguments[] = {result, (PyObject *)self, note};
        Py_SETREF(result, ended < 0 ? NULL : PyObject_Vectorcall(settle, arguments, 3, NULL));
    }
    return result;
}

static PyObject *
binding_run(bindingobject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 4) {
        return PyErr_Format(PyExc_TypeError, "run() takes at least 4 arguments, not %zd", nargs);
    }
    PyObject *displaced;
    if (bind(self, &displaced) < 0) {
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(args[3], args + 4, (size_t)(nargs - 4), NULL);
    if (result != NULL) {
        result = settle_result(self, result, args[0], args[2]);
    }
    if (result == NULL) {
        call_handling(args[1], (PyObject *)self);
    }
    result = unbind_after(self, displaced, result);
    Py_XDECREF(displaced);
    return result;
}

static PyObject *
binding_claim_end(bindingobject *self, PyObject *Py_UNUSED(ignored))
{
    int first = !self->claimed;
    self->claimed = 1;
    return PyBool_FromLong(first);
}

static PyObject *
binding_empty_(bindingobject *self, PyObject *Py_UNUSED(ignored))
{
    return binding_empty(self) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
binding_get_ended(bindingobject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->namespace == self->impl->st->ended);
}

static PyObject *
binding_get_started(bindingobject *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble((double)self->started * 1e-9);
}

/* At most one is in it: setdefault is atomic, if many threads come first. */
static PyObject *
binding_get_teardowns(bindingobject *self, void *Py_UNUSED(closure))
{
    if (self->teardowns == NULL) {
        PyObject *made = PyDict_New();
        if (made == NULL) {
            return NULL;
        }
        if (self->teardowns == NULL) { /* still */
            self->teardowns = made;
        }
        else {
            Py_DECREF(made);
        }
    }
    return Py_XNewRef(self->teardowns);
}

static PyMethodDef binding_methods[] = {
    {"bind", (PyCFunction)binding_bind, METH_NOARGS,
     "Make it current on this thread. Returns what that displaced, which `unbind` wants back.\n\n"
     "Raises RequestEndedError after its end."},
    {"unbind", (PyCFunction)binding_unbind, METH_O,
     "Take it off this thread again, with whatever scopes its code left open there."},
    {"run", (PyCFunction)(void (*)(void))binding_run, METH_FASTCALL,
     "run(settle, fail, note, function, *args): call `function(*args)` with the scope bound, and return what it returns.\n\n"
     "After a list, or None, no code is left to run: the scope ends, if that takes no teardown. Anything else\n"
     "is exchanged for what `settle(result, scope, note)` returns. Of an error `fail(error, scope)` is told."},
    {"finish", (PyCFunction)binding_finish, METH_NOARGS,
     "End it here and now if that takes no teardown. Returns whether it has ended, now or before."},
    {"_claim_end", (PyCFunction)binding_claim_end, METH_NOARGS,
     "Whether the caller is the one who has to end it: the first to ask."},
    {"_empty", (PyCFunction)binding_empty_, METH_NOARGS, "Empty the namespace for good, and let go of the request."},
    {NULL},
};

static PyMemberDef binding_members[] = {
    {"context", T_OBJECT, offsetof(bindingobject, context), READONLY, NULL},
    {"environ", T_OBJECT, offsetof(bindingobject, environ), READONLY, NULL},
    {"namespace", T_OBJECT, offsetof(bindingobject, namespace), READONLY, NULL},
    {"serial", T_ULONGLONG, offsetof(bindingobject, serial), READONLY, NULL},
    {"thread", T_OBJECT_EX, offsetof(bindingobject, thread), 0, NULL},
    {"_below", T_OBJECT, offsetof(bindingobject, below), 0, NULL},
    {"_carried", T_BOOL, offsetof(bindingobject, carried), 0, NULL},
    {"_error", T_OBJECT, offsetof(bindingobject, error), 0, NULL},
    {"_in_loop", T_BOOL, offsetof(bindingobject, in_loop), 0, NULL},
    {"_method", T_OBJECT, offsetof(bindingobject, method), READONLY, NULL},
    {"_path", T_OBJECT, offsetof(bindingobject, path), READONLY, NULL},
    {"_resume", T_OBJECT, offsetof(bindingobject, resume), 0, NULL},
    {"_values", T_OBJECT, offsetof(bindingobject, values), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(bindingobject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef binding_getset[] = {
    {"ended", (getter)binding_get_ended, NULL, "Whether it is over: its teardown has run and its values are gone.", NULL},
    {"started", (getter)binding_get_started, NULL, "When it began, in seconds on the clock of `time.monotonic`.", NULL},
    {"_teardowns", (getter)binding_get_teardowns, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot binding_slots[] = {
    {Py_tp_doc, "One request's namespace, and its way into a thread's slot."},
    {Py_tp_new, binding_new},
    {Py_tp_dealloc, binding_dealloc},
    {Py_tp_traverse, binding_traverse},
    {Py_tp_clear, binding_clear},
    {Py_tp_methods, binding_methods},
    {Py_tp_members, binding_members},
    {Py_tp_getset, binding_getset},
    {0, NULL},
};

static PyType_Spec binding_spec = {
    .name = "tlctx._core._local_c.Binding",
    .basicsize = sizeof(bindingobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = binding_slots,
};

/* Steps: an iterable whose code runs with a scope bound */

static PyObject *
steps_make(PyTypeObject *type, PyObject *iterable, PyObject *scope)
{
    stepsobject *self = (stepsobject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->iterable = Py_NewRef(iterable);
        self->scope = (bindingobject *)Py_NewRef(scope);
    }
    return (PyObject *)self;
}

static PyObject *
steps_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {"iterable", "scope", NULL};
    PyObject *iterable, *scope;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "OO:Steps", names, &iterable, &scope)) {
        return NULL;
    }
    PyObject *module = PyType_GetModuleByDef(type, &module_def);
    if (module == NULL) {
        return NULL;
    }
    if (!PyObject_TypeCheck(scope, ((state *)PyModule_GetState(module))->binding_type)) {
        return PyErr_Format(PyExc_TypeError, "steps need a Scope, not %s", short_name(Py_TYPE(scope)));
    }
    return steps_make(type, iterable, scope);
}

static int
steps_traverse(stepsobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->iterable);
    Py_VISIT(self->iterator);
    Py_VISIT(self->scope);
    return 0;
}

static int
steps_clear(stepsobject *self)
{
    Py_CLEAR(self->iterable);
    Py_CLEAR(self->iterator);
    Py_CLEAR(self->scope);
    return 0;
}

static void
steps_dealloc(stepsobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    steps_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static void
steps_finalize(PyObject *self)
{
    bindingobject *scope = ((stepsobject *)self)->scope;
    if (scope == NULL || scope->namespace == NULL || scope->namespace == scope->impl->st->ended) {
        return;
    }
    PyObject *error = take_error();
    PyObject *done = PyObject_CallMethodNoArgs(self, scope->impl->st->str_dropped);
    if (done == NULL) {
        PyErr_WriteUnraisable(self);
    }
    Py_XDECREF(done);
    restore_error(error);
}

/* Tell a method of the subclass of the error that is set. */
static void
steps_tell(stepsobject *self, PyObject *method)
{
    PyObject *error = take_error(), *hook = PyObject_GetAttr((PyObject *)self, method);
    if (hook == NULL) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    restore_error(error);
    if (hook == NULL) {
        return;
    }
    call_handling(hook, NULL);
    Py_DECREF(hook);
}

/* The result of `step(subject)` with the scope bound; NULL without an error at an iterator's end. */
static PyObject *
steps_run(stepsobject *self, PyObject *(*step)(PyObject *), PyObject *subject)
{
    bindingobject *scope = self->scope;
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
            steps_tell(self, scope->impl->st->str_failed);
        }
        result = unbind_after(scope, displaced, result);
        Py_XDECREF(displaced);
    }
    Py_DECREF(scope);
    Py_DECREF(subject);
    return result;
}

static PyObject *
steps_iter(stepsobject *self)
{
    PyObject *iterable = self->iterable, *iterator;
    if (iterable == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "these steps were collected");
        return NULL;
    }
    if (Py_EnterRecursiveCall(" in iter() of a body")) {
        return NULL;
    }
    iterator = PyGen_CheckExact(iterable) ? Py_NewRef(iterable) : steps_run(self, PyObject_GetIter, iterable);
    Py_LeaveRecursiveCall();
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
steps_iternext(stepsobject *self)
{
    if (self->iterator == NULL) {
        PyObject *same = steps_iter(self);
        if (same == NULL) {
            return NULL;
        }
        Py_DECREF(same);
    }
    if (Py_EnterRecursiveCall(" in next() of a body")) {
        return NULL;
    }
    PyObject *item = steps_run(self, next_of, self->iterator);
    Py_LeaveRecursiveCall();
    return item;
}

/* `close` of an iterable: a new reference; None if it has none; NULL with an error. */
static PyObject *
close_of(PyObject *iterable, state *st)
{
    Py_INCREF(iterable);
    PyObject *close = PyObject_GetAttr(iterable, st->str_close);
    Py_DECREF(iterable);
    if (close == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        close = Py_NewRef(Py_None);
    }
    return close;
}

static PyObject *
call_close(PyObject *close)
{
    return close == Py_None ? Py_NewRef(Py_None) : PyObject_CallNoArgs(close);
}

/* Call `close` with the scope bound, and end the scope. */
static PyObject *
close_and_end(stepsobject *self, PyObject *close, bindingobject *scope, state *st)
{
    PyObject *displaced;
    if (bind(scope, &displaced) < 0) {
        return NULL;
    }
    PyObject *result = call_close(close);
    if (result != NULL) {
        int ended = finish(scope);
        if (ended <= 0) {
            Py_SETREF(result, ended < 0 ? NULL : PyObject_CallMethodNoArgs((PyObject *)self, st->str_settle));
        }
    }
    if (result == NULL) {
        steps_tell(self, st->str_fail);
    }
    result = unbind_after(scope, displaced, result);
    Py_XDECREF(displaced);
    return result;
}

static PyObject *
steps_close(stepsobject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->scope == NULL || self->iterable == NULL) { /* collected */
        Py_RETURN_NONE;
    }
    bindingobject *scope = (bindingobject *)Py_NewRef((PyObject *)self->scope);
    state *st = scope->impl->st;
    PyObject *result = NULL, *close = close_of(self->iterable, st);
    if (close != NULL) {
        result = scope->namespace == st->ended ? call_close(close) : close_and_end(self, close, scope, st);
        Py_DECREF(close);
    }
    Py_DECREF(scope);
    Py_XDECREF(result);
    return result == NULL ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef steps_methods[] = {
    {"close", (PyCFunction)steps_close, METH_NOARGS,
     "Close the iterable, if it can be closed, with the scope bound, and end the scope."},
    {NULL},
};

static PyMemberDef steps_members[] = {
    {"_iterable", T_OBJECT, offsetof(stepsobject, iterable), 0, NULL},
    {"_iterator", T_OBJECT, offsetof(stepsobject, iterator), READONLY, NULL},
    {"_scope", T_OBJECT, offsetof(stepsobject, scope), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(stepsobject, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot steps_slots[] = {
    {Py_tp_doc, "An iterable whose code runs with a scope bound: `iter()` of it, each step, and its `close()`.\n\n"
                "A subclass says what happens else: `_failed(error)` after a step that raised anything but\n"
                "StopIteration, `_settle()` where `close()` can't end the scope alone, `_fail(error)` after a `close()`\n"
                "that raised, and `_dropped()` when the steps go while their scope is open."},
    {Py_tp_new, steps_new},
    {Py_tp_dealloc, steps_dealloc},
    {Py_tp_finalize, steps_finalize},
    {Py_tp_traverse, steps_traverse},
    {Py_tp_clear, steps_clear},
    {Py_tp_iter, steps_iter},
    {Py_tp_iternext, steps_iternext},
    {Py_tp_methods, steps_methods},
    {Py_tp_members, steps_members},
    {0, NULL},
};

static PyType_Spec steps_spec = {
    .name = "tlctx._core._local_c.Steps",
    .basicsize = sizeof(stepsobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = steps_slots,
};

/* Gate: calls a function with a new scope bound */

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *app, *ctx, *initialize, *key, *settle, *fail;
    PyTypeObject *scope_type, *steps_type;
} gateobject;

static PyObject *
gate_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw))
{
    return type->tp_alloc(type, 0);
}

static int
gate_init(gateobject *self, PyObject *args, PyObject *kw)
{
    static char *names[] = {"app", "ctx", "initialize", "parts", NULL};
    PyObject *app, *ctx, *initialize, *key, *scope_type, *steps_type, *settle, *fail;
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(self), &module_def);
    if (module == NULL
        || !PyArg_ParseTupleAndKeywords(args, kw, "OOO(UO!O!OO):Gate", names, &app, &ctx, &initialize, &key,
                                        &PyType_Type, &scope_type, &PyType_Type, &steps_type, &settle, &fail)) {
        return -1;
    }
    state *st = PyModule_GetState(module);
    if (!PyType_IsSubtype((PyTypeObject *)scope_type, st->binding_type)
        || !PyType_IsSubtype((PyTypeObject *)steps_type, st->steps_type)) {
        PyErr_SetString(PyExc_TypeError, "a gate needs a type of Binding and one of Steps");
        return -1;
    }
    Py_XSETREF(self->app, Py_NewRef(app));
    Py_XSETREF(self->ctx, Py_NewRef(ctx));
    Py_XSETREF(self->initialize, Py_NewRef(initialize));
    Py_XSETREF(self->key, Py_NewRef(key));
    Py_XSETREF(self->scope_type, (PyTypeObject *)Py_NewRef(scope_type));
    Py_XSETREF(self->steps_type, (PyTypeObject *)Py_NewRef(steps_type));
    Py_XSETREF(self->settle, Py_NewRef(settle));
    Py_XSETREF(self->fail, Py_NewRef(fail));
    return 0;
}

static int
gate_traverse(gateobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->app);
    Py_VISIT(self->ctx);
    Py_VISIT(self->initialize);
    Py_VISIT(self->scope_type);
    Py_VISIT(self->steps_type);
    Py_VISIT(self->settle);
    Py_VISIT(self->fail);
    return 0;
}

static int
gate_clear(gateobject *self)
{
    Py_CLEAR(self->app);
    Py_CLEAR(self->ctx);
    Py_CLEAR(self->initialize);
    Py_CLEAR(self->key);
    Py_CLEAR(self->scope_type);
    Py_CLEAR(self->steps_type);
    Py_CLEAR(self->settle);
    Py_CLEAR(self->fail);
    return 0;
}

static void
gate_dealloc(gateobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    gate_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Whether a call is of the kind that is served here: nothing has to be done before the app, and its environ is not one that
   comes by a second time. Everything else is for `_serve`. -1: error. */
static int
gate_is_plain(gateobject *self, PyObject *args, PyObject *kw, state *st)
{
    if (kw != NULL || PyTuple_GET_SIZE(args) != 2 || self->fail == NULL || self->initialize != Py_None
        || self->app == NULL || self->ctx == NULL || Py_TYPE(self->ctx)->tp_init != PyBaseObject_Type.tp_init) {
        return 0;
    }
    PyObject *environ = PyTuple_GET_ITEM(args, 0);
    int has_scopes = PyDict_CheckExact(environ) ? PyDict_Contains(environ, self->key) : 1;
    if (has_scopes != 0) {
        return has_scopes < 0 ? -1 : 0;
    }
    PyObject *wrapper = PyDict_GetItemWithError(environ, st->str_file_wrapper);
    if (wrapper == NULL && PyErr_Occurred()) {
        return -1;
    }
    return wrapper == NULL || PyType_Check(wrapper);
}

static PyObject *
gate_serve_otherwise(gateobject *self, PyObject *args, PyObject *kw, state *st)
{
    PyObject *serve = PyObject_GetAttr((PyObject *)self, st->str_serve);
    PyObject *body = serve == NULL ? NULL : PyObject_Call(serve, args, kw);
    Py_XDECREF(serve);
    return body;
}

/* The app's answer, or what stands for it; NULL with an error. The scope is bound. */
static PyObject *
gate_answer(gateobject *self, bindingobject *scope, PyObject *app, PyObject *args, PyObject *wrapper)
{
    PyObject *settle = Py_NewRef(self->settle), *fail = Py_NewRef(self->fail);
    PyObject *arguments[] = {NULL, PyTuple_GET_ITEM(args, 0), PyTuple_GET_ITEM(args, 1)};
    PyObject *body = PyObject_Vectorcall(app, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (body != NULL && PyGen_CheckExact(body)) {
        Py_SETREF(body, steps_make(self->steps_type, body, (PyObject *)scope));
    }
    else if (body != NULL) {
        body = settle_result(scope, body, settle, wrapper);
    }
    if (body == NULL) {
        call_handling(fail, (PyObject *)scope);
    }
    Py_DECREF(settle);
    Py_DECREF(fail);
    return body;
}

static PyObject *
gate_call(gateobject *self, PyObject *args, PyObject *kw)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(self), &module_def), *body = NULL, *displaced;
    if (module == NULL) {
        return NULL;
    }
    state *st = PyModule_GetState(module);
    int plain = gate_is_plain(self, args, kw, st);
    if (plain <= 0) {
        return plain < 0 ? NULL : gate_serve_otherwise(self, args, kw, st);
    }
    PyObject *environ = PyTuple_GET_ITEM(args, 0), *app = Py_NewRef(self->app), *ctx = Py_NewRef(self->ctx);
    PyObject *wrapper = PyDict_GetItemWithError(environ, st->str_file_wrapper);
    wrapper = Py_NewRef(wrapper == NULL ? Py_None : wrapper);
    PyObject *scope = binding_make(st, self->scope_type, ctx, environ, NULL);
    PyObject *scopes = scope == NULL ? NULL : PyTuple_Pack(1, scope);
    if (scopes != NULL && PyDict_SetItem(environ, self->key, scopes) == 0
        && bind((bindingobject *)scope, &displaced) == 0) {
        body = gate_answer(self, (bindingobject *)scope, app, args, wrapper);
        body = unbind_after((bindingobject *)scope, displaced, body);
        Py_XDECREF(displaced);
    }
    Py_XDECREF(scopes);
    Py_XDECREF(scope);
    Py_DECREF(wrapper);
    Py_DECREF(app);
    Py_DECREF(ctx);
    return body;
}

static PyMemberDef gate_members[] = {
    {"app", T_OBJECT, offsetof(gateobject, app), 0, NULL},
    {"ctx", T_OBJECT, offsetof(gateobject, ctx), 0, NULL},
    {"initialize", T_OBJECT, offsetof(gateobject, initialize), 0, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(gateobject, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot gate_slots[] = {
    {Py_tp_doc, "Calls an application with a new scope bound.\n\n"
                "What is not plain (first values to assign, an environ that has scopes already, a file wrapper that is\n"
                "no class) goes to `_serve`, which a subclass defines, and which could do all of it."},
    {Py_tp_new, gate_new},
    {Py_tp_init, gate_init},
    {Py_tp_call, gate_call},
    {Py_tp_dealloc, gate_dealloc},
    {Py_tp_traverse, gate_traverse},
    {Py_tp_clear, gate_clear},
    {Py_tp_members, gate_members},
    {0, NULL},
};

static PyType_Spec gate_spec = {
    .name = "tlctx._core._local_c.Gate",
    .basicsize = sizeof(gateobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = gate_slots,
};

/* The module */

static implobject *
impl_of(PyObject *module, PyObject *owner)
{
    state *st = PyModule_GetState(module);
    if (!PyObject_TypeCheck(owner, st->local_type)) {
        PyErr_Format(PyExc_TypeError, "a thread's dict is in a local, not in %s", short_name(Py_TYPE(owner)));
        return NULL;
    }
    return ((localobject *)owner)->impl;
}

static PyObject *
module_swap_dict(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        return PyErr_Format(PyExc_TypeError, "swap_dict() takes 2 arguments, not %zd", nargs);
    }
    implobject *impl = impl_of(module, args[0]);
    return impl == NULL ? NULL : impl_swap_dict(impl, args[1]);
}

static PyObject *
module_peek_dict(PyObject *module, PyObject *owner)
{
    PyObject *dict;
    implobject *impl = impl_of(module, owner);
    if (impl == NULL || impl_get(impl, &dict) < 0) {
        return NULL;
    }
    impl_forget_values(impl);
    return dict == NULL ? Py_NewRef(Py_None) : dict;
}

static PyObject *
module_alive(PyObject *module, PyObject *namespace)
{
    PyObject *found = alive(PyModule_GetState(module), namespace);
    return found == NULL && !PyErr_Occurred() ? Py_NewRef(Py_None) : found;
}

static PyMethodDef module_methods[] = {
    {"swap_dict", (PyCFunction)(void (*)(void))module_swap_dict, METH_FASTCALL,
     "Make `new` the running thread's dict in `owner`, a `local`, and return the one before; None stands for none."},
    {"peek_dict", module_peek_dict, METH_O,
     "The running thread's dict in `owner`, a `local`, or None: unlike attribute access it makes none."},
    {"alive", module_alive, METH_O,
     "The nearest namespace that has not ended, from this one down through those that scopes displaced."},
    {NULL},
};

static PyObject *
attribute_of(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *value = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(module);
    return value;
}

static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL) {
        /* Messages name a class as Python's own do, without its module. */
        type->tp_name = short_name(type);
        if (PyModule_AddType(module, type) < 0) {
            Py_CLEAR(type);
        }
    }
    return type;
}

static int
add_strings(state *st)
{
#define MAKE(name, text) \
    if ((st->name = PyUnicode_InternFromString(text)) == NULL) { \
        return -1; \
    }
    STRINGS(MAKE)
#undef MAKE
    return 0;
}

/* Where the slot `name` of a class lies in its objects; 0 if it is no slot. */
static Py_ssize_t
slot_offset(PyTypeObject *type, PyObject *name)
{
    PyObject *descriptor = _PyType_Lookup(type, name);
    if (descriptor == NULL || !Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) {
        return 0;
    }
    PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
    return member->type == T_OBJECT_EX ? member->offset : 0;
}

/* Whether an object of `open` may be made one of `ended` by its type alone. */
static int
same_shape(PyTypeObject *open, PyTypeObject *ended)
{
    return open->tp_basicsize == ended->tp_basicsize && open->tp_itemsize == ended->tp_itemsize
           && open->tp_dictoffset == 0 && ended->tp_dictoffset == 0
           && open->tp_weaklistoffset == ended->tp_weaklistoffset && open->tp_dealloc == ended->tp_dealloc
           && PyType_IsSubtype(ended, open);
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

static int
module_exec(PyObject *module)
{
    state *st = PyModule_GetState(module);
    PyObject *threading = PyImport_ImportModule("threading");
    st->threading = threading == NULL ? NULL : Py_NewRef(PyModule_GetDict(threading));
    Py_XDECREF(threading);
    st->modules = Py_NewRef(PyImport_GetModuleDict());
    if (st->threading == NULL || add_strings(st) < 0
        || (st->plain_kind = plain_local()) == NULL
        || (st->current_lifetime = attribute_of("tlctx._core.lifetime", "current_lifetime")) == NULL
        || (st->next_serial = attribute_of("tlctx._core.lifetime", "next_serial")) == NULL
        || (st->namespace_type = (PyTypeObject *)attribute_of("tlctx._core.namespace", "Namespace")) == NULL
        || (st->ended_type = (PyTypeObject *)attribute_of("tlctx._core.namespace", "EndedNamespace")) == NULL
        || (st->ended = attribute_of("tlctx._core.namespace", "ENDED")) == NULL
        || (st->no_values = attribute_of("tlctx._core.namespace", "NO_VALUES")) == NULL
        || (st->no_args = PyTuple_New(0)) == NULL || (st->zero = PyLong_FromLong(0)) == NULL
        || (st->impl_type = add_type(module, &impl_spec)) == NULL
        || (st->local_type = add_type(module, &local_spec)) == NULL
        || (st->binding_type = add_type(module, &binding_spec)) == NULL
        || (st->steps_type = add_type(module, &steps_spec)) == NULL
        || (st->gate_type = add_type(module, &gate_spec)) == NULL) {
        return -1;
    }
    st->default_adopt = Py_XNewRef(_PyType_Lookup(st->local_type, st->str_adopt));
    st->default_absent = Py_XNewRef(_PyType_Lookup(st->local_type, st->str_absent));
    st->ends_by_type = same_shape(st->namespace_type, st->ended_type);
    st->scope_offset = slot_offset(st->namespace_type, st->str_scope);
    look_at_platform(st);
    return PyErr_Occurred() ? -1 : 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    state *st = PyModule_GetState(module);
    Py_VISIT(st->impl_type);
    Py_VISIT(st->local_type);
    Py_VISIT(st->binding_type);
    Py_VISIT(st->steps_type);
    Py_VISIT(st->gate_type);
    Py_VISIT(st->modules);
    Py_VISIT(st->threading);
    Py_VISIT(st->plain_kind);
    Py_VISIT(st->current_lifetime);
    Py_VISIT(st->next_serial);
    Py_VISIT(st->namespace_type);
    Py_VISIT(st->ended_type);
    Py_VISIT(st->ended);
    Py_VISIT(st->no_values);
    Py_VISIT(st->default_adopt);
    Py_VISIT(st->default_absent);
    return 0;
}

/* There is no tp_clear: what is left of our objects may still come by when the rest of a cycle has been cleared, and the
   other objects of such a cycle, types and modules, break it. */
static void
module_free(void *module)
{
    state *st = PyModule_GetState((PyObject *)module);
    if (st == NULL) {
        return;
    }
    PyObject **owned[] = {
        (PyObject **)&st->impl_type, (PyObject **)&st->local_type, (PyObject **)&st->binding_type,
        (PyObject **)&st->steps_type, (PyObject **)&st->gate_type, (PyObject **)&st->namespace_type,
        (PyObject **)&st->ended_type, &st->modules, &st->threading, &st->plain_kind, &st->current_lifetime,
        &st->next_serial, &st->ended, &st->no_values, &st->no_args, &st->zero, &st->default_adopt, &st->default_absent,
#define OWNED(name, text) &st->name,
        STRINGS(OWNED)
#undef OWNED
    };
    for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++) {
        Py_CLEAR(*owned[i]);
    }
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tlctx._core._local_c",
    .m_doc = "`local` in C, and the binding of a scope: the compiled twins of `_local_py` and `_binding_py`.",
    .m_size = sizeof(state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__local_c(void)
{
    return PyModuleDef_Init(&module_def);
}
