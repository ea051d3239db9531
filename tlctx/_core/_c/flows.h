/* Which flow of execution runs here, where several share a thread: as `flows.py`, with a quick way for the usual answers. */

#define EVENT_LOOP 1
#define UNPATCHED_GREENLET 2

/* What calling `function()` says is true; -1: error. */
static int
ask(PyObject *function)
{
    PyObject *answer = PyObject_CallNoArgs(function);
    int result = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return result;
}

/* What calling `name` of a module returns, as a new reference; NULL with an error, or if the module is still without it. */
static PyObject *
call_in_module(PyObject *module, PyObject *name)
{
    PyObject *function = Py_XNewRef(PyDict_GetItemWithError(PyModule_GetDict(module), name)), *result = NULL;
    if (function != NULL && !PyCallable_Check(function)) { /* it is imported lazily */
        Py_SETREF(function, PyObject_GetAttr(module, name));
    }
    if (function != NULL) {
        result = PyObject_CallNoArgs(function);
        Py_DECREF(function);
    }
    return result;
}

static int
asyncio_runs(state *st, PyObject *asyncio)
{
    PyObject *loop = call_in_module(asyncio, st->str_running_loop);
    int runs = loop != NULL && loop != Py_None;
    Py_XDECREF(loop);
    return PyErr_Occurred() ? -1 : runs;
}

static int
unpatched_greenlet_runs(state *st, PyObject *greenlet)
{
    PyObject *current = call_in_module(greenlet, st->str_getcurrent);
    PyObject *parent = current == NULL ? NULL : PyObject_GetAttr(current, st->str_parent);
    int may_be = parent != NULL && parent != Py_None; /* the thread's own one has no parent */
    Py_XDECREF(parent);
    Py_XDECREF(current);
    return PyErr_Occurred() ? -1 : may_be ? ask(st->in_unpatched_greenlet) : 0;
}

/* A module that was imported, as a borrowed reference; NULL, with an error or if it was not. */
static PyObject *
imported(state *st, PyObject *name)
{
    PyObject *module = PyDict_GetItemWithError(st->modules, name);
    return module != NULL && PyModule_Check(module) ? module : NULL;
}

/* EVENT_LOOP, UNPATCHED_GREENLET, both or neither; -1: error. */
static int
flows_here(state *st)
{
    uint64_t version = modules_version(st);
    if (version != 0 && version == st->modules_version) { /* nothing of the kind was imported, and nothing else since */
        return 0;
    }
    PyObject *asyncio = imported(st, st->str_asyncio), *greenlet = imported(st, st->str_greenlet);
    int other_loops = imported(st, st->str_trio) != NULL || imported(st, st->str_curio) != NULL;
    if (PyErr_Occurred()) {
        return -1;
    }
    if (asyncio == NULL && greenlet == NULL && !other_loops) {
        st->modules_version = version;
        return 0;
    }
    Py_XINCREF(asyncio);
    Py_XINCREF(greenlet);
    int loop = other_loops ? ask(st->in_coroutine) : asyncio == NULL ? 0 : asyncio_runs(st, asyncio);
    int shares = loop < 0 || greenlet == NULL ? 0 : unpatched_greenlet_runs(st, greenlet);
    Py_XDECREF(greenlet);
    Py_XDECREF(asyncio);
    return loop < 0 || shares < 0 ? -1 : (loop ? EVENT_LOOP : 0) | (shares ? UNPATCHED_GREENLET : 0);
}
