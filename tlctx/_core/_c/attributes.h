/* The attributes of a local: those of its class, and of the running thread's dict. */

/* Whether a name that is no text takes itself for `__dict__`; -1: an error, also because it doesn't. */
static int
poses_as_dict_name(state *st, PyObject *name)
{
    int same = PyObject_RichCompareBool(name, st->str_dict, Py_EQ);
    if (same == 0) {
        PyErr_Format(PyExc_TypeError, "attribute name must be string, not '%.200s'", Py_TYPE(name)->tp_name);
        return -1;
    }
    return same;
}

/* Whether an AttributeError says that `self` has no `name`, and not something else, in the code of a property say. One that
   can't be asked does not; -1: what it raises when it is asked is no Exception. */
static int
is_about(PyObject *error, PyObject *self, PyObject *name)
{
    state *st = ((localobject *)self)->impl->st;
    PyObject *obj = PyObject_GetAttr(error, st->str_obj);
    PyObject *missing = obj == self ? PyObject_GetAttr(error, st->str_name) : NULL;
    int about = missing != NULL && PyObject_RichCompareBool(missing, name, Py_EQ) > 0;
    if (PyErr_Occurred()) {
        about = PyErr_ExceptionMatches(PyExc_Exception) ? (PyErr_Clear(), 0) : -1;
    }
    Py_XDECREF(obj);
    Py_XDECREF(missing);
    return about;
}

/* What the hook makes of `error`, as a new reference. */
static PyObject *
local_better_error(PyObject *self, PyObject *error, PyObject *dict)
{
    PyObject *hook = PyObject_GetAttr((PyObject *)Py_TYPE(self), ((localobject *)self)->impl->st->str_attribute_error);
    PyObject *better = hook == NULL ? NULL : PyObject_CallFunctionObjArgs(hook, self, error, dict, NULL);
    Py_XDECREF(hook);
    if (better != NULL && PyExceptionClass_Check(better)) {
        Py_SETREF(better, PyObject_CallNoArgs(better));
    }
    if (better != NULL && !PyExceptionInstance_Check(better)) {
        PyErr_SetString(PyExc_TypeError, "exceptions must derive from BaseException");
        Py_CLEAR(better);
    }
    return better;
}

/* Raise what the hook makes of the AttributeError that is set, if it is that `self` has no `name`, which is not in `dict`. */
static void
local_raise_attribute_error(PyObject *self, PyObject *name, PyObject *dict)
{
    state *st = ((localobject *)self)->impl->st;
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return;
    }
    PyObject *error = take_error(); /* a look-up with an error set would take it for its own */
    PyObject *hook = look_up_in_class(Py_TYPE(self), st->str_attribute_error);
    int about = hook != st->default_attribute_error;
    Py_XDECREF(hook);
    if (!about) {
        restore_error(error);
        return;
    }
    PyObject *before = begin_handling(error); /* so that it is the context of what is raised instead */
    about = is_about(error, self, name);
    PyObject *better = about > 0 ? local_better_error(self, error, dict) : NULL;
    if (better != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(better), better);
        if (better != error) {
            PyException_SetCause(better, NULL); /* `from None` */
        }
        Py_DECREF(better);
    }
    end_handling(before);
    if (about == 0) {
        restore_error(error);
        return;
    }
    Py_DECREF(error);
}

/* As object.__getattribute__() with the running thread's dict: a data descriptor of the class, the dict, the class. */
static PyObject *
local_get_attribute(PyObject *self, PyObject *name)
{
    state *st = ((localobject *)self)->impl->st;
    if (!PyUnicode_Check(name)) {
        return poses_as_dict_name(st, name) < 0 ? NULL : local_dict(self);
    }
    PyObject *dict = local_quick_dict(self);
    if (dict == NULL || is_dict_name(st, name)) {
        return dict;
    }
    PyTypeObject *type = (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(self)); /* which code below may exchange */
    PyObject *value = NULL, *descriptor = look_up_in_class(type, name);
    descrgetfunc get = descriptor == NULL ? NULL : Py_TYPE(descriptor)->tp_descr_get;
    if (get != NULL && Py_TYPE(descriptor)->tp_descr_set != NULL) {
        value = get(descriptor, self, (PyObject *)type);
    }
    else if ((value = Py_XNewRef(PyDict_GetItemWithError(dict, name))) == NULL && !PyErr_Occurred()) {
        if (get != NULL) {
            value = get(descriptor, self, (PyObject *)type);
        }
        else {
            value = descriptor != NULL ? Py_NewRef(descriptor) : PyObject_GenericGetAttr(self, name);
        }
    }
    if (value == NULL) {
        local_raise_attribute_error(self, name, dict);
    }
    Py_XDECREF(descriptor);
    Py_DECREF(type);
    Py_DECREF(dict);
    return value;
}

/* The quick way to a value that no data descriptor comes before, in the cached dict, or in what is attached where the thread
   is known to have none. is_plain() comes first: it may run code, and another thread may take the cache over. */
static PyObject *
local_getattro(PyObject *self, PyObject *name)
{
    implobject *impl = ((localobject *)self)->impl;
    if (!is_plain(impl->st, Py_TYPE(self), name) || !impl_is_cached(impl)) {
        return local_get_attribute(self, name);
    }
    PyObject *dict = impl->dict != NULL ? Py_NewRef(impl->dict) : local_plainly_attached(self);
    if (dict == NULL) {
        return PyErr_Occurred() ? NULL : local_get_attribute(self, name);
    }
    PyObject *value = Py_XNewRef(PyDict_GetItemWithError(dict, name));
    Py_DECREF(dict);
    return value != NULL || PyErr_Occurred() ? value : local_get_attribute(self, name);
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

/* Set `name` in a namespace that takes declared names alone; what is not among them it refuses itself. */
static int
local_set_strictly(PyObject *self, PyObject *dict, PyObject *name, PyObject *value)
{
    state *st = ((localobject *)self)->impl->st;
    PyObject *declared = PyUnicode_CheckExact(name) ? look_up_in_class(Py_TYPE(self), st->str_declared) : NULL;
    int known = declared != NULL && PyFrozenSet_CheckExact(declared) ? PySet_Contains(declared, name) : 0;
    Py_XDECREF(declared);
    if (known < 0) {
        return -1;
    }
    return known ? PyDict_SetItem(dict, name, value) : PyObject_SetItem(dict, name, value);
}

/* `value` NULL deletes. */
static int
local_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    state *st = ((localobject *)self)->impl->st;
    int is_dict = PyUnicode_Check(name) ? is_dict_name(st, name) : poses_as_dict_name(st, name);
    if (is_dict < 0) {
        return -1;
    }
    if (is_dict) {
        refuse_attribute("'%s' object attribute %R is read-only", self, st->str_dict);
        return -1;
    }
    PyObject *dict = local_quick_dict(self);
    if (dict == NULL) {
        return -1;
    }
    if (name == st->str_class && value != NULL && !keeps_layout(st, Py_TYPE(self), value)) {
        Py_DECREF(dict);
        return -1;
    }
    int result;
    PyObject *descriptor = is_plain(st, Py_TYPE(self), name) ? NULL : look_up_in_class(Py_TYPE(self), name);
    descrsetfunc set = descriptor == NULL ? NULL : Py_TYPE(descriptor)->tp_descr_set;
    if (set != NULL) {
        result = set(descriptor, self, value);
    }
    else if (value != NULL && Py_IS_TYPE(dict, st->strict_type)) {
        result = local_set_strictly(self, dict, name, value);
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
    Py_XDECREF(descriptor);
    if (result < 0 && value == NULL && set == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Clear();
        refuse_attribute("'%s' object has no attribute %R", self, name);
        local_raise_attribute_error(self, name, dict);
    }
    Py_DECREF(dict);
    return result;
}
