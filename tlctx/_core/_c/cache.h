/* The map behind one `local`, and the cache entry in front of it: see the head of module.c. */

typedef struct {
    PyObject *key, *ref, *ident, *dict;
} cache_entry;

static void
entry_release(cache_entry *s)
{
    cache_entry old = *s;
    memset(s, 0, sizeof(*s));
    Py_XDECREF(old.key);
    Py_XDECREF(old.ref);
    Py_XDECREF(old.ident);
    Py_XDECREF(old.dict);
}

static inline int
impl_is_cached(implobject *impl)
{
    return impl->owner == thread_id() && platform_is_plain(impl->st);
}

/* Exchange what is cached; the caller lets go of what comes back. */
static cache_entry
impl_exchange(implobject *impl, uint64_t owner, cache_entry s)
{
    cache_entry old = {impl->key, impl->ref, impl->ident, impl->dict};
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
    cache_entry old = impl_exchange(impl, NO_THREAD, (cache_entry){NULL});
    entry_release(&old);
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

/* The dict in an entry of the map, as a new reference; NULL if the entry is not the thread's. */
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

/* Have the thread's record tell us of its end, if there is an entry to forget then: one is stored now, or cached. */
static int
impl_register(implobject *impl, PyObject *record, PyObject *key, int to_store)
{
    int known = to_store ? 0 : PyDict_Contains(impl->dicts, key);
    if (known != 0) {
        return known < 0 ? -1 : 0;
    }
    PyObject *done = PyObject_CallMethodOneArg(record, impl->st->str_register, (PyObject *)impl);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Look the running thread up. 1: it is cached now. 0: it can't be, and `s` has its entry, owned by the caller. -1: error. */
static int
impl_find(implobject *impl, cache_entry *s, int to_store)
{
    state *st = impl->st;
    int result = -1;
    PyObject *thread = NULL, *record = PyObject_CallNoArgs(st->current_record);
    if (record == NULL || (thread = PyObject_GetAttr(record, st->str_thread)) == NULL
        || (s->key = PyObject_GetAttr(record, st->str_key)) == NULL
        || (s->ref = PyObject_GetAttr(record, st->str_ref)) == NULL
        || (s->ident = PyObject_GetAttr(record, st->str_ident)) == NULL
        || impl_register(impl, record, s->key, to_store) < 0) {
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
        cache_entry old = impl_exchange(impl, thread_id(), *s);
        memset(s, 0, sizeof(*s));
        entry_release(&old);
        result = 1;
    }
    else {
        impl_empty_cache(impl);
        result = 0;
    }
done:
    Py_XDECREF(thread);
    Py_XDECREF(record);
    if (result < 0) {
        entry_release(s);
    }
    return result;
}

/* The running thread's dict in `dict`, as a new reference, or NULL if it has none. -1: error. */
static int
impl_get(implobject *impl, PyObject **dict)
{
    cache_entry s = {NULL};
    while (!impl_is_cached(impl)) { /* again, if what impl_find() let go of ran code that filled the cache anew */
        int found = impl_find(impl, &s, 0);
        if (found < 0) {
            *dict = NULL;
            return -1;
        }
        if (found == 0) {
            *dict = Py_XNewRef(s.dict);
            entry_release(&s);
            return 0;
        }
    }
    *dict = Py_XNewRef(impl->dict);
    return 0;
}

/* Write through, where nothing can be cached. */
static int
impl_swap_uncached(implobject *impl, cache_entry *s, PyObject *new, PyObject **old, PyObject **ident)
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
    entry_release(s);
    return result;
}

/* Make `new` the running thread's dict, NULL for none; `old` is the one before, as a new reference, or NULL. */
static int
impl_swap(implobject *impl, PyObject *new, PyObject **old, PyObject **ident)
{
    *old = NULL;
    while (!impl_is_cached(impl)) { /* as in impl_get() */
        cache_entry s = {NULL};
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
    if (impl->in_map && impl_write(impl) < 0) { /* so that the map keeps nothing that was displaced */
        PyErr_Clear();                          /* for want of memory: then it keeps it a while longer */
    }
    return 0;
}

/* Like impl_swap(), with the map written at once. */
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

