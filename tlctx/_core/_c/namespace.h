/* The namespace of a scope, from its defaults to its end. An ended one that nobody else has serves the next request. */

static int
set_scope(state *st, PyObject *namespace, PyObject *scope)
{
    if (st->scope_offset == 0) {
        return PyObject_SetAttr(namespace, st->str_scope, scope);
    }
    PyObject **place = (PyObject **)((char *)namespace + st->scope_offset);
    Py_XSETREF(*place, Py_NewRef(scope));
    return 0;
}

/* An empty namespace: the spare one, or a new one. */
static PyObject *
empty_namespace(state *st)
{
    PyObject *namespace = st->spare;
    st->spare = NULL;
    return namespace != NULL ? namespace : PyDict_Type.tp_new(st->namespace_type, st->no_args, NULL);
}

/* A new namespace with the defaults of a class: a dict, or what makes it itself, which may run any code. */
static PyObject *
namespace_of_defaults(state *st, PyObject *defaults)
{
    if (PyDict_CheckExact(defaults)) {
        PyObject *namespace = empty_namespace(st);
        if (namespace != NULL && PyDict_GET_SIZE(defaults) > 0 && PyDict_Update(namespace, defaults) < 0) {
            Py_CLEAR(namespace);
        }
        return namespace;
    }
    PyObject *namespace = PyObject_CallMethodNoArgs(defaults, st->str_make_namespace);
    if (namespace != NULL && !PyObject_TypeCheck(namespace, st->namespace_type)) {
        PyErr_Format(PyExc_TypeError, "make_namespace() has to return a Namespace, not %s", short_name(Py_TYPE(namespace)));
        Py_CLEAR(namespace);
    }
    return namespace;
}

/* A new namespace with the defaults of the context, which knows its scope. */
static PyObject *
make_namespace(state *st, PyObject *context, PyObject *scope)
{
    PyObject *defaults = class_attribute(Py_TYPE(context), st->str_defaults);
    if (defaults == NULL) {
        return PyErr_Format(PyExc_TypeError, "a scope needs a RequestContext, not %s", short_name(Py_TYPE(context)));
    }
    Py_INCREF(defaults);
    PyObject *namespace = namespace_of_defaults(st, defaults);
    if (namespace != NULL && set_scope(st, namespace, scope) < 0) {
        Py_CLEAR(namespace);
    }
    Py_DECREF(defaults);
    return namespace;
}

/* Make an emptied namespace refuse its use. */
static int
end_namespace(state *st, PyObject *namespace)
{
    PyTypeObject *type = Py_TYPE(namespace);
    if (st->ends_by_type && (type == st->namespace_type || type == st->strict_type)) {
        Py_SET_TYPE(namespace, (PyTypeObject *)Py_NewRef((PyObject *)st->ended_type));
        Py_DECREF(type);
        PyDict_Clear(namespace);
        return 0;
    }
    PyObject *ended = PyObject_CallMethodNoArgs(namespace, st->str_end);
    Py_XDECREF(ended);
    return ended == NULL ? -1 : 0;
}

/* Let go of a namespace, NULL for none; one that has ended becomes the spare one if nobody else has it. */
static void
give_back_namespace(state *st, PyObject *namespace)
{
    if (namespace == NULL || Py_REFCNT(namespace) != 1 || !Py_IS_TYPE(namespace, st->ended_type) || st->spare != NULL
        || !st->ends_by_type || st->scope_offset == 0 || PyDict_GET_SIZE(namespace) > 0) {
        Py_XDECREF(namespace);
        return;
    }
    PyObject **scope = (PyObject **)((char *)namespace + st->scope_offset), *before = *scope;
    *scope = NULL;
    Py_SET_TYPE(namespace, (PyTypeObject *)Py_NewRef((PyObject *)st->namespace_type));
    Py_DECREF(st->ended_type);
    st->spare = namespace;
    Py_XDECREF(before);
}
