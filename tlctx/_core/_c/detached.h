/* DetachedCall: a server's async function, which is called and awaited with the scope of a request detached. */

/* `message[key]`, as a new reference; NULL, with an error or without one, if it has none. */
static PyObject *
message_item(state *st, PyObject *message, PyObject *key)
{
    if (PyDict_CheckExact(message)) {
        return Py_XNewRef(PyDict_GetItemWithError(message, key));
    }
    return PyObject_CallMethodOneArg(message, st->str_get, key);
}

/* Whether the message begins an answer, or -1 with an error; what is a piece of one is counted. */
static int
begins_answer(detachedobject *self, PyObject *message)
{
    PyObject *kind = message_item(self->scope->impl->st, message, PyTuple_GET_ITEM(self->head, 0));
    if (kind == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int begins = PyObject_RichCompareBool(kind, PyTuple_GET_ITEM(self->head, 1), Py_EQ);
    int is_piece = begins == 0 ? PySet_Contains(self->pieces, kind) : begins;
    if (begins == 0 && is_piece > 0 && self->scope != NULL) {
        self->scope->chunks++;
    }
    Py_DECREF(kind);
    return is_piece < 0 ? -1 : begins;
}

/* Whether the message says that more of the answer follows, or -1 with an error. */
static int
has_more(detachedobject *self, PyObject *message)
{
    PyObject *value = message_item(self->scope->impl->st, message, self->more);
    if (value == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int more = PyObject_IsTrue(value);
    Py_DECREF(value);
    return more;
}

static PyObject *
coroutine_make(detachedobject *self, PyObject *argument)
{
    coroutineobject *coroutine = PyObject_GC_New(coroutineobject, self->scope->impl->st->coroutine_type);
    if (coroutine == NULL) {
        return NULL;
    }
    coroutine->scope = (scopeobject *)Py_NewRef((PyObject *)self->scope);
    coroutine->function = Py_NewRef(self->function);
    coroutine->argument = Py_XNewRef(argument);
    coroutine->awaited = coroutine->before = NULL;
    coroutine->is_over = 0;
    PyObject_GC_Track(coroutine);
    return (PyObject *)coroutine;
}

static PyObject *
detached_call(detachedobject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (nargs > 1 || kwnames != NULL || self->scope == NULL) {
        return PyErr_Format(PyExc_TypeError, "a DetachedCall takes one positional argument, or none");
    }
    if (self->head != NULL && nargs == 1) {
        int begins = begins_answer(self, args[0]), more = begins == 0 ? has_more(self, args[0]) : 0;
        if (begins < 0 || more < 0) {
            return NULL;
        }
        if (begins && self->scope->closes_early) {
            PyObject *arguments[] = {(PyObject *)self->scope, self->function, args[0]};
            return PyObject_Vectorcall(self->begin, arguments, 3, NULL);
        }
        if (begins || more) {
            return PyObject_CallOneArg(self->function, args[0]);
        }
    }
    return coroutine_make(self, nargs == 0 ? NULL : args[0]);
}

static PyObject *
detached_make(state *st, PyTypeObject *type, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 && nargs != 6) {
        return PyErr_Format(PyExc_TypeError, "DetachedCall() takes 2 or 6 arguments, not %zd", nargs);
    }
    if (!is_scope(st, args[0])) {
        return PyErr_Format(PyExc_TypeError, "DetachedCall() needs a Scope, not %s", short_name(Py_TYPE(args[0])));
    }
    if (nargs == 6 && !(PyTuple_CheckExact(args[2]) && PyTuple_GET_SIZE(args[2]) == 2 && PyFrozenSet_CheckExact(args[5]))) {
        return PyErr_Format(PyExc_TypeError, "the head of an answer is a pair of key and value, its pieces a frozenset");
    }
    detachedobject *self = PyObject_GC_New(detachedobject, type);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = (vectorcallfunc)detached_call;
    self->scope = (scopeobject *)Py_NewRef(args[0]);
    self->function = Py_NewRef(args[1]);
    self->head = nargs == 6 ? Py_NewRef(args[2]) : NULL;
    self->more = nargs == 6 ? Py_NewRef(args[3]) : NULL;
    self->begin = nargs == 6 ? Py_NewRef(args[4]) : NULL;
    self->pieces = nargs == 6 ? Py_NewRef(args[5]) : NULL;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

/* DetachedCall(...), without a tuple of arguments: two are made for each request. */
static PyObject *
detached_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (kwnames != NULL) {
        return PyErr_Format(PyExc_TypeError, "DetachedCall() takes no keyword arguments");
    }
    return detached_make(PyType_GetModuleState((PyTypeObject *)type), (PyTypeObject *)type, args, PyVectorcall_NARGS(nargsf));
}

static int
detached_traverse(detachedobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->scope);
    Py_VISIT(self->function);
    Py_VISIT(self->begin);
    return 0;
}

static int
detached_clear(detachedobject *self)
{
    Py_CLEAR(self->scope);
    Py_CLEAR(self->function);
    Py_CLEAR(self->head);
    Py_CLEAR(self->more);
    Py_CLEAR(self->begin);
    Py_CLEAR(self->pieces);
    return 0;
}

static void
detached_dealloc(detachedobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    detached_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
detached_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    PyObject *names = kw == NULL ? NULL : kw; /* only whether there are any counts */
    return detached_vectorcall((PyObject *)type, ((PyTupleObject *)args)->ob_item, (size_t)PyTuple_GET_SIZE(args), names);
}

static PyMemberDef detached_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(detachedobject, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot detached_slots[] = {
    {Py_tp_doc, "`function`, an async function of one argument or none, which is called and awaited with `scope` detached."},
    {Py_tp_new, detached_new},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_dealloc, detached_dealloc},
    {Py_tp_traverse, detached_traverse},
    {Py_tp_clear, detached_clear},
    {Py_tp_members, detached_members},
    {0, NULL},
};

static PyType_Spec detached_spec = {
    .name = "tlctx._core._accelerator.DetachedCall",
    .basicsize = sizeof(detachedobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = detached_slots,
};
