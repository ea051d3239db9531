/* What one interpreter has of this module, and the objects of its types. */

#define NO_THREAD UINT64_MAX

/* The names that are looked up, each made once. */
#define STRINGS(each) \
    each(str_flags, "flags") \
    each(str_asyncio, "asyncio") \
    each(str_attribute_error, "_local__attribute_error") \
    each(str_begin, "_begin") \
    each(str_check, "check") \
    each(str_class, "__class__") \
    each(str_clear, "clear") \
    each(str_close, "close") \
    each(str_close_after, "_close_after") \
    each(str_close_left_open, "_close_left_open") \
    each(str_close_late, "_close_late") \
    each(str_close_unfinished, "_close_unfinished") \
    each(str_close_unleft, "close_unleft") \
    each(str_declared, "_local__declared") \
    each(str_defaults, "_local__defaults") \
    each(str_dict, "__dict__") \
    each(str_empty, "") \
    each(str_end, "end") \
    each(str_enter, "_enter") \
    each(str_finish, "_finish") \
    each(str_get, "get") \
    each(str_ident, "ident") \
    each(str_init_subclass, "__init_subclass__") \
    each(str_key, "key") \
    each(str_kind, "_kind") \
    each(str_leave, "leave") \
    each(str_local, "local") \
    each(str_make_dict, "_local__make_dict") \
    each(str_make_namespace, "make_namespace") \
    each(str_name, "name") \
    each(str_not_copied, "_local__not_copied") \
    each(str_obj, "obj") \
    each(str_on_close, "_on_close") \
    each(str_on_close_error, "_on_close_error") \
    each(str_on_drop, "_on_drop") \
    each(str_on_step_error, "_on_step_error") \
    each(str_ref, "ref") \
    each(str_register, "register") \
    each(str_run_late, "_run_late") \
    each(str_running_loop, "_get_running_loop") \
    each(str_scope, "scope") \
    each(str_take, "_take") \
    each(str_attach, "_attach") \
    each(str_attach_checked, "_attach_checked") \
    each(str_curio, "curio") \
    each(str_detach, "_detach") \
    each(str_getcurrent, "getcurrent") \
    each(str_greenlet, "greenlet") \
    each(str_parent, "parent") \
    each(str_trio, "trio") \
    each(str_thread, "thread") \
    each(str_throw, "throw")

/* Everything that module_exec() makes or imports, so that traversing and freeing can't forget one. */
#define TYPES(each) \
    each(impl_type) \
    each(local_type) \
    each(scope_type) \
    each(iterator_type) \
    each(bound_type) \
    each(copy_type) \
    each(detached_type) \
    each(coroutine_type) \
    each(namespace_type) \
    each(origin_type)             /* of the labels of scopes that were copied */ \
    each(strict_type)             /* of the namespaces that take declared names alone */ \
    each(ended_type)
#define OBJECTS(each) \
    each(modules)                 /* sys.modules, which the interpreter loses before the last of our objects goes */ \
    each(threading)               /* the dict of the module */ \
    each(plain_kind)              /* the interpreter's own threading.local */ \
    each(current_record) \
    each(next_serial) \
    each(unfinished)              /* a dict, which stays the same one */ \
    each(ended) \
    each(ended_namespace) \
    each(no_values) \
    each(observers)               /* a list, which stays the same one */ \
    each(notify_begin) \
    each(in_coroutine) \
    each(in_unpatched_greenlet) \
    each(attached)                /* what bind() returns where it attached the scope */ \
    each(notify_end) \
    each(attached_scopes)         /* the context variable */ \
    each(attached_namespace)      /* the Python code that reads it */ \
    each(outermost_coroutine) \
    each(start_threads)           /* start_threads_without_scopes */ \
    each(sys)                     /* the dict of the module */ \
    each(plain_flags)             /* a sys.flags by which threads inherit no context variables; None: there is none */ \
    each(default_make_dict) \
    each(default_attribute_error) \
    each(spare)                   /* an empty namespace that nobody refers to, or NULL: saves making one a request */ \
    each(no_args) \
    each(zero)

/* That a class has no data descriptor of this name: see names.h. */
typedef struct {
    PyObject *name;
    PyObject *found;              /* what the class has there, or NULL; borrowed from it */
    unsigned int version;         /* of the class */
    unsigned int found_version;   /* of the class of `found` */
} plain_name;
#define PLAIN_NAMES 32

typedef struct {
#define DECLARE(name) PyTypeObject *name;
    TYPES(DECLARE)
#undef DECLARE
#define DECLARE(name) PyObject *name;
    OBJECTS(DECLARE)
#undef DECLARE
#define DECLARE(name, text) PyObject *name;
    STRINGS(DECLARE)
#undef DECLARE
    Py_ssize_t scope_offset;      /* of a namespace's scope, or 0 if it has to be asked for */
    int ends_by_type;             /* an ended namespace has the shape of an open one */
    uint64_t plain_version;       /* of threading's dict, when threading.local was last seen to be the plain one */
    uint64_t modules_version;     /* of sys.modules, when flows_here() last saw that there is nothing to look at */
    int threading_watcher, modules_watcher; /* from 3.14 on, where these versions are 0 or 1: see compat.h */
    unsigned long long scopes;    /* how many there were */
    plain_name plain_names[PLAIN_NAMES];
} state;

/* _localimpl: the map, and the cache entry of the thread that came last */
typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *module;             /* keeps `st` valid for as long as this object lives */
    state *st;
    PyObject *dicts, *localargs, *serial;
    uint64_t owner;               /* the id of the thread state that the rest is about */
    PyObject *key, *ref, *ident;
    PyObject *dict;               /* NULL: this thread has none */
    char unwritten;               /* the map does not show `dict` yet */
    char in_map;                  /* the map has an entry for this thread */
} implobject;

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    implobject *impl;
} localobject;

/* ScopeBase */
typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    implobject *impl;
    PyObject *context, *source, *label, *namespace, *resume, *displaced, *error, *values, *parts, *thread;
    PyObject *made;               /* what per_request methods have made, a dict, or NULL */
    PyObject *closer;             /* the frame of the call that closes it, or NULL */
    PyObject *below;              /* the dict that binding displaced, while it is bound where there was one, or NULL */
    unsigned long long serial;
    unsigned long long chunks;    /* of the body that the server took */
    int64_t started;              /* nanoseconds */
    char in_loop, attached;
    char by_generator;            /* a generator entered it, which may leave it in another request */
    char closes_early;            /* no code of the request runs after the application's call */
    struct copyobject *last_copy; /* of its values, if that is still alive: the copy takes this away as it goes */
} scopeobject;

/* ScopedIterator */
typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *iterable, *iterator;
    PyObject *owner;              /* the body that this is an iterator of, if it is one */
    scopeobject *scope;
    char exhausted;               /* it was read to its end */
} iteratorobject;

/* CopyBase */
typedef struct copyobject {
    PyObject_HEAD
    PyObject *context, *origin;
    PyObject *values;             /* a dict, which nobody changes */
    scopeobject *scope;           /* whose last copy it is, or NULL; the scope takes this away as it goes */
} copyobject;

/* bound */
typedef struct {
    PyObject_HEAD
    scopeobject *scope;
    PyObject *displaced;
    char is_bound;
} boundobject;

/* DetachedCall */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    scopeobject *scope;
    PyObject *function;
    PyObject *head, *more, *begin, *pieces; /* what tells the messages of an answer apart; NULL: all are the same */
} detachedobject;

/* DetachedCoroutine */
typedef struct {
    PyObject_HEAD
    scopeobject *scope;
    PyObject *function, *argument;
    PyObject *awaited;            /* what the function returned, from the first step to the last */
    PyObject *before;             /* what was attached before the first step, until the last */
    char is_over;
} coroutineobject;

static struct PyModuleDef module_def;
