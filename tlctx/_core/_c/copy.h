/* CopyBase: a copy of a request's values, and code that is run in a scope that begins with it.

   A request that submits many jobs takes a copy for each. As long as one is alive and the request has assigned nothing since,
   it serves for the next one too: scope and copy refer to each other without a reference, and both take that away in time. */

static PyObject *
copy_make(PyTypeObject *type, PyObject *context, PyObject *origin, PyObject *values)
{
    copyobject *self = (copyobject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->context = Py_NewRef(context);
        self->origin = Py_NewRef(origin);
        self->values = Py_NewRef(values);
    }
    return (PyObject *)self;
}

/* Whether it is a context, whose class is the state's; if not, with an error. */
static int
check_context(state *st, PyObject *context)
{
    if (PyObject_TypeCheck(context, st->local_type)) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "a copy needs a RequestContext, not %s", short_name(Py_TYPE(context)));
    return -1;
}

static PyObject *
copy_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {"context", "origin", "values", NULL};
    PyObject *context, *origin, *values, *module = PyType_GetModuleByDef(type, &module_def);
    if (module == NULL || !PyArg_ParseTupleAndKeywords(args, kw, "OOO!", names, &context, &origin, &PyDict_Type, &values)
        || check_context(PyModule_GetState(module), context) < 0) {
        return NULL;
    }
    return copy_make(type, context, origin, values);
}

/* The scope, open and bound to this thread, whose values a copy takes as they are, all of them; NULL if there is none such,
   or with an error. A new reference. */
static scopeobject *
plain_scope(state *st, PyObject *context)
{
    PyObject *dict, *skip = class_attribute(Py_TYPE(context), st->str_not_copied);
    int copies_all = skip != NULL && PyFrozenSet_CheckExact(skip) && PySet_GET_SIZE(skip) == 0;
    if (!copies_all || st->scope_offset == 0 || impl_get(((localobject *)context)->impl, &dict) < 0 || dict == NULL) {
        return NULL;
    }
    scopeobject *scope = NULL;
    if (Py_IS_TYPE(dict, st->namespace_type) || Py_IS_TYPE(dict, st->strict_type)) {
        PyObject *found = *(PyObject **)((char *)dict + st->scope_offset);
        if (found != NULL && PyObject_TypeCheck(found, st->scope_type) && ((scopeobject *)found)->namespace == dict) {
            scope = (scopeobject *)Py_NewRef(found);
        }
    }
    Py_DECREF(dict);
    return scope;
}

/* Whether the scope knows its origin already; it is told by the first copy, which is made in Python. */
static int
knows_origin(state *st, scopeobject *scope)
{
    return scope->label != NULL && Py_IS_TYPE(scope->label, st->origin_type);
}

static int
has_made_none(scopeobject *scope)
{
    return scope->made == NULL || (PyDict_CheckExact(scope->made) && PyDict_GET_SIZE(scope->made) == 0);
}

/* The scope's last copy, if it has what the scope has now: the same objects in the same order. A new reference, or NULL. */
static PyObject *
last_copy_if_same(scopeobject *scope, PyTypeObject *type)
{
    copyobject *copy = scope->last_copy;
    if (copy == NULL || Py_REFCNT(copy) == 0 || copy->values == NULL || !Py_IS_TYPE(copy, type)
        || PyDict_GET_SIZE(copy->values) != PyDict_GET_SIZE(scope->namespace)) {
        return NULL;
    }
    PyObject *key, *value, *copied_key, *copied_value;
    Py_ssize_t place = 0, copied_place = 0;
    while (PyDict_Next(scope->namespace, &place, &key, &value)) {
        if (!PyDict_Next(copy->values, &copied_place, &copied_key, &copied_value) || key != copied_key
            || value != copied_value) {
            return NULL;
        }
    }
    return Py_NewRef((PyObject *)copy);
}

/* Note that `copy` is the last one of the scope. */
static void
note_copy(scopeobject *scope, copyobject *copy)
{
    if (scope->last_copy != NULL) {
        scope->last_copy->scope = NULL;
    }
    scope->last_copy = copy;
    copy->scope = scope;
}

static PyObject *
new_copy(PyTypeObject *type, PyObject *context, scopeobject *scope)
{
    PyObject *values = PyDict_Copy(scope->namespace), *origin = Py_XNewRef(scope->label), *copy = NULL;
    if (values != NULL && origin != NULL && is_open(scope) && has_made_none(scope)) { /* now, too */
        copy = copy_make(type, context, origin, values);
        if (copy != NULL) {
            note_copy(scope, (copyobject *)copy);
        }
    }
    Py_XDECREF(origin);
    Py_XDECREF(values);
    return copy;
}

static PyObject *
copy_take(PyTypeObject *type, PyObject *context)
{
    PyObject *module = PyType_GetModuleByDef(type, &module_def), *copy = NULL;
    state *st = module == NULL ? NULL : PyModule_GetState(module);
    if (st == NULL || check_context(st, context) < 0) {
        return NULL;
    }
    scopeobject *scope = plain_scope(st, context);
    if (scope != NULL && knows_origin(st, scope) && has_made_none(scope)) {
        copy = last_copy_if_same(scope, type);
        if (copy == NULL) {
            copy = new_copy(type, context, scope);
        }
    }
    Py_XDECREF(scope);
    return copy != NULL || PyErr_Occurred() ? copy : PyObject_CallMethodOneArg((PyObject *)type, st->str_take, context);
}

static int
copy_traverse(copyobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->context);
    Py_VISIT(self->origin);
    Py_VISIT(self->values);
    return 0;
}

static int
copy_clear(copyobject *self)
{
    if (self->scope != NULL) {
        self->scope->last_copy = NULL;
        self->scope = NULL;
    }
    Py_CLEAR(self->context);
    Py_CLEAR(self->origin);
    Py_CLEAR(self->values);
    return 0;
}

static void
copy_dealloc(copyobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    copy_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Give the scope, which is bound, the values: at once, or where code of the context has a say in it, in Python. */
static int
fill(scopeobject *scope, PyObject *values)
{
    int is_plain = Py_TYPE(scope->context)->tp_init == PyBaseObject_Type.tp_init;
    if (is_plain && is_open(scope) && PyDict_Check(scope->namespace)) {
        if (PyDict_Update(scope->namespace, values) < 0) {
            return -1;
        }
        if (PyDict_GET_SIZE(scope->namespace) == PyDict_GET_SIZE(values)) {
            return 0;
        }
    }
    return call_method(scope, scope->impl->st->str_begin);
}

/* What the caller returns for `result`, once the scope is closed; NULL with an error. Steals `result`. */
static PyObject *
close_with(scopeobject *scope, PyObject *result)
{
    int closed = close_if_idle(scope);
    if (closed < 0 || (closed == 0 && call_method(scope, scope->impl->st->str_finish) < 0)) {
        Py_CLEAR(result);
    }
    return result;
}

/* Close the scope with the error that is set, which stays set. */
static void
close_with_error(scopeobject *scope)
{
    note_error(scope);
    PyObject *error = take_error();
    PyObject *hook = PyObject_GetAttr((PyObject *)scope, scope->impl->st->str_close_after);
    if (hook == NULL) {
        PyErr_WriteUnraisable((PyObject *)scope);
    }
    restore_error(error);
    if (hook != NULL) {
        call_to_close(scope, hook, (PyObject *)scope);
        Py_DECREF(hook);
    }
}

static scopeobject *
make_scope_of(copyobject *self)
{
    state *st = self->context == NULL ? NULL : ((localobject *)self->context)->impl->st;
    PyObject *kind = st == NULL || self->values == NULL ? NULL : class_attribute(Py_TYPE(self), st->str_kind);
    if (kind == NULL || !PyType_Check(kind) || !PyType_IsSubtype((PyTypeObject *)kind, st->scope_type)) {
        PyErr_SetString(PyExc_TypeError, "a copy has no kind of scope");
        return NULL;
    }
    Py_INCREF(kind);
    PyObject *scope = scope_make(st, (PyTypeObject *)kind, self->context, (PyObject *)self, self->origin, st->no_values);
    Py_DECREF(kind);
    return (scopeobject *)scope;
}

static PyObject *
copy_run(copyobject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs < 1) {
        return PyErr_Format(PyExc_TypeError, "run() takes the function to call");
    }
    PyObject *displaced, *result = NULL;
    scopeobject *scope = make_scope_of(self);
    if (scope == NULL) {
        return NULL;
    }
    if (bind(scope, &displaced) < 0) {
        close_with_error(scope);
        Py_DECREF(scope);
        return NULL;
    }
    if (fill(scope, self->values) == 0) {
        result = PyObject_Vectorcall(args[0], args + 1, (size_t)(nargs - 1), kwnames);
    }
    if (result != NULL) {
        result = close_with(scope, result);
    }
    if (result == NULL) {
        close_with_error(scope);
    }
    result = unbind_after(scope, displaced, result);
    Py_XDECREF(displaced);
    Py_DECREF(scope);
    return result;
}

static PyMethodDef copy_methods[] = {
    {"take", (PyCFunction)copy_take, METH_O | METH_CLASS,
     "A copy of the scope that is current for `context`; None where no request of it runs.\n\n"
     "Raises RequestEndedError in code that its request has left behind."},
    {"run", (PyCFunction)(void (*)(void))copy_run, METH_FASTCALL | METH_KEYWORDS,
     "run(function, /, *args, **kwargs): return what `function(*args, **kwargs)` returns, which is called in a scope that\n"
     "begins with the values and ends with the call.\n\n"
     "Raises what the teardown raises; where the function itself raises, that goes on. Both are reported."},
    {NULL},
};

static PyMemberDef copy_members[] = {
    {"context", T_OBJECT_EX, offsetof(copyobject, context), READONLY, NULL},
    {"origin", T_OBJECT_EX, offsetof(copyobject, origin), READONLY, NULL},
    {"_values", T_OBJECT_EX, offsetof(copyobject, values), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot copy_slots[] = {
    {Py_tp_doc, "A copy of a request's values, and code that is run in a scope that begins with it."},
    {Py_tp_new, copy_new},
    {Py_tp_dealloc, copy_dealloc},
    {Py_tp_traverse, copy_traverse},
    {Py_tp_clear, copy_clear},
    {Py_tp_methods, copy_methods},
    {Py_tp_members, copy_members},
    {0, NULL},
};

static PyType_Spec copy_spec = {
    .name = "tlctx._core._accelerator.CopyBase",
    .basicsize = sizeof(copyobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = copy_slots,
};
