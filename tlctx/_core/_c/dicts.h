/* The running thread's dict of a local, looked up and made. */

static PyObject *
local_make_dict(PyObject *self, PyObject *Py_UNUSED(ignored))
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
    dict = local_plainly_attached(self);
    if (dict != NULL || PyErr_Occurred()) {
        return dict;
    }
    PyObject *hook = look_up_in_class(Py_TYPE(self), st->str_make_dict);
    Py_XDECREF(hook);
    if (hook == st->default_make_dict) {
        return local_make_dict(self, NULL);
    }
    hook = PyObject_GetAttr((PyObject *)Py_TYPE(self), st->str_make_dict);
    dict = hook == NULL ? NULL : PyObject_CallOneArg(hook, self);
    Py_XDECREF(hook);
    if (dict != NULL && !PyDict_Check(dict)) {
        PyErr_Format(PyExc_TypeError, "_local__make_dict() has to return a dict, not %s", short_name(Py_TYPE(dict)));
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
