/* The C accelerator: `local` and the hot path of a scope, as `_py/local.py` and `_py/scope.py` have them in Python.

   Theory of operation
   ===================

   What a thread is, and when it has ended, is decided once, in `threads.py`. The map from thread to dict is the one that
   the pure-Python implementation has. What is added here is a cache in front of the map, one entry for each `local`:

       local --> _localimpl.dicts: {id(Thread): (ref(Thread), dict)}
                    |
                    +--> the cache entry of the thread that came last: (thread-state id, key, ref, dict)

   The cache (cache.h)

   1.  The entry counts only for the thread state that filled it. The interpreter never uses the id of one again.

   2.  It counts only while `threading.local` is the interpreter's own. Under gevent greenlets share a thread state, and
       the patching may come at any time, so each access checks that threading's dict has not changed since it was looked at.
       Under gevent every access asks `threads.py`.

   3.  A ThreadRecord that ends calls `forget`, which empties the cache too: nothing of a thread outlives it in here. That
       is why an entry is cached only once the map is registered with the record.

   4.  `bind` and `unbind` write to the cache alone, which is then `unwritten`, as long as the map has no entry of the thread.
       The map catches up before another thread takes the cache over, and when somebody asks for `dicts`: a look at it always
       shows the truth.

   5.  What a class has comes before the dict if it is a data descriptor. That it is none is remembered for each name
       (names.h), for as long as the interpreter's own numbers say that the classes are what they were.

   The scope and its iterator (namespace.h, binding.h, running.h, ending.h, body.h)

   6.  `bind` hands what it displaced to its caller, as a reference that the caller owns, and `unbind` borrows it back. In
       between the namespace is held by the cache or the map, and by the scope. Only the scope's end exchanges
       `scope->namespace`, and a scope that is being collected has none: both are checked after each call that can run code.

   7.  `call` and a step hold a reference to the scope and to what they call for as long as that runs.

   What is attached (attached.h)

   8.  Where the thread has no dict, a context reads from the context variable of `_core/attached.py`. The tuple in it never
       changes, and nothing runs while it is searched. Only the plain case is decided here: the first pair of the context has
       an open scope and no coroutine. All others are left to the Python code, as is each look at what threads inherit.

   Code that runs in the middle

   9.  Any call into Python, an allocation that collects garbage, and the end of any object may run code that uses this very
       `local`, or this scope. So a cache entry is installed or exchanged in one go, with no such thing in between, and what
       was displaced is let go of last.

   10. A signal's handler runs only where Python code runs: in the application's own code, and in what is called in
       `threads.py`, the hooks and the observers. An exception that it raises there comes back as an error of that call;
       `unbind` then tries once more, so that the scope leaves the thread all the same.

   All of it relies on the GIL. A build without one has the pure-Python implementation.
*/

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "the C accelerator relies on the GIL; a free-threaded build has the pure-Python implementation"
#endif

#include "state.h"
#include "compat.h"
#include "cache.h"
#include "impl.h"
#include "names.h"
#include "classes.h"
#include "flows.h"
#include "attached.h"
#include "dicts.h"
#include "attributes.h"
#include "local.h"
#include "namespace.h"
#include "binding.h"
#include "ending.h"
#include "running.h"
#include "scope.h"
#include "body_end.h"
#include "body.h"
#include "bound.h"
#include "copy.h"
#include "coroutine.h"
#include "detached.h"
#include "imports.h"

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
    return dict == NULL ? Py_NewRef(Py_None) : dict;
}

static PyObject *
module_namespace_of(PyObject *module, PyObject *context)
{
    PyObject *namespace = module_peek_dict(module, context);
    if (namespace == Py_None) {
        Py_SETREF(namespace, attached_namespace(PyModule_GetState(module), context));
    }
    return namespace;
}

static PyObject *
module_nearest_open(PyObject *module, PyObject *namespace)
{
    PyObject *found = nearest_open(PyModule_GetState(module), namespace);
    return found == NULL && !PyErr_Occurred() ? Py_NewRef(Py_None) : found;
}

static PyMethodDef module_methods[] = {
    {"swap_dict", (PyCFunction)(void (*)(void))module_swap_dict, METH_FASTCALL,
     "Make `new` the running thread's dict in `owner`, a `local`, and return the one before; None stands for none."},
    {"peek_dict", module_peek_dict, METH_O,
     "The running thread's dict in `owner`, a `local`, or None: unlike attribute access it makes none."},
    {"nearest_open", module_nearest_open, METH_O,
     "The nearest namespace whose scope is open, from this one down through those that scopes displaced."},
    {"namespace_of", module_namespace_of, METH_O,
     "What `context` reads from here and now: a scope's namespace, or one that refuses any use."},
    {"attached_namespace", module_attached_namespace, METH_O,
     "What `context` reads from where no scope is bound to the thread."},
    {"attach", module_attach, METH_O,
     "Have what is started from here on see `scope`, until `detach`.\n\nRaises TypeError for what is no Scope."},
    {"detach", module_detach, METH_O,
     "Undo `attach`, in any order. A task that began in between keeps the scope, and is refused once it has ended.\n\n"
     "Returns what was attached before."},
    {NULL},
};

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

static int
module_exec(PyObject *module)
{
    state *st = PyModule_GetState(module);
    if (add_strings(st) < 0 || import_objects(st) < 0
        || (st->impl_type = add_type(module, &impl_spec)) == NULL
        || (st->local_type = add_type(module, &local_spec)) == NULL
        || (st->scope_type = add_type(module, &scope_spec)) == NULL
        || (st->iterator_type = add_type(module, &iterator_spec)) == NULL
        || (st->bound_type = add_type(module, &bound_spec)) == NULL
        || (st->copy_type = add_type(module, &copy_spec)) == NULL
        || (st->coroutine_type = add_type(module, &coroutine_spec)) == NULL
        || (st->detached_type = add_type(module, &detached_spec)) == NULL) {
        return -1;
    }
    st->detached_type->tp_vectorcall = detached_vectorcall;
    st->default_make_dict = Py_XNewRef(class_attribute(st->local_type, st->str_make_dict));
    st->default_attribute_error = Py_XNewRef(class_attribute(st->local_type, st->str_attribute_error));
    st->ends_by_type = same_shape(st->namespace_type, st->ended_type) && same_shape(st->strict_type, st->ended_type)
                       && PyType_IsSubtype(st->ended_type, st->namespace_type);
    st->scope_offset = slot_offset(st->namespace_type, st->str_scope);
    watch_dicts(st);
    look_at_platform(st);
    return PyErr_Occurred() ? -1 : 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    state *st = PyModule_GetState(module);
#define VISIT(name) Py_VISIT(st->name);
    TYPES(VISIT)
    OBJECTS(VISIT)
#undef VISIT
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
    unwatch_dicts(st);
#define CLEAR(name) Py_CLEAR(st->name);
    TYPES(CLEAR)
    OBJECTS(CLEAR)
#undef CLEAR
#define CLEAR(name, text) Py_CLEAR(st->name);
    STRINGS(CLEAR)
#undef CLEAR
    for (size_t i = 0; i < PLAIN_NAMES; i++) {
        Py_CLEAR(st->plain_names[i].name);
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
    .m_name = "tlctx._core._accelerator",
    .m_doc = "The C accelerator: `local` and the hot path of a scope.",
    .m_size = sizeof(state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__accelerator(void)
{
    return PyModuleDef_Init(&module_def);
}
