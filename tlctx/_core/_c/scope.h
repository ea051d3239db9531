/* ScopeBase: one request's namespace, and its way onto a thread and off it. */

/* The words of a label, a tuple of keys, that `source` has; a label that is a text is returned as it is. */
static PyObject *
label_words(state *st, PyObject *source, PyObject *label)
{
    if (!PyTuple_CheckExact(label)) {
        return Py_NewRef(label);
    }
    PyObject *words = PyTuple_New(PyTuple_GET_SIZE(label));
    for (Py_ssize_t i = 0; words != NULL && i < PyTuple_GET_SIZE(label); i++) {
        PyObject *key = PyTuple_GET_ITEM(label, i), *word;
        if (PyDict_CheckExact(source)) {
            word = PyDict_GetItemWithError(source, key);
            word = word != NULL || !PyErr_Occurred() ? Py_NewRef(word == NULL ? Py_None : word) : NULL;
        }
        else {
            word = PyObject_CallMethodOneArg(source, st->str_get, key);
        }
        if (word == NULL) {
            Py_CLEAR(words);
            break;
        }
        PyTuple_SET_ITEM(words, i, word);
    }
    return words;
}

static PyObject *
scope_make(state *st, PyTypeObject *type, PyObject *context, PyObject *source, PyObject *label, PyObject *values)
{
    if (!PyObject_TypeCheck(context, st->local_type)) {
        return PyErr_Format(PyExc_TypeError, "a scope needs a RequestContext, not %s", short_name(Py_TYPE(context)));
    }
    scopeobject *self = (scopeobject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->started = monotonic();
    self->serial = ++st->scopes;
    self->context = Py_NewRef(context);
    self->impl = (implobject *)Py_NewRef((PyObject *)((localobject *)context)->impl);
    self->source = Py_NewRef(source);
    self->label = label_words(st, source, label);
    self->values = Py_NewRef(values);
    self->thread = Py_NewRef(st->zero);
    self->namespace = self->label == NULL ? NULL : make_namespace(st, context, (PyObject *)self);
    if (self->namespace == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->resume = Py_NewRef(self->namespace);
    return (PyObject *)self;
}

static PyObject *
scope_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {"context", "source", "label", "values", NULL};
    PyObject *module = PyType_GetModuleByDef(type, &module_def);
    if (module == NULL) {
        return NULL;
    }
    state *st = PyModule_GetState(module);
    PyObject *context, *source = Py_None, *label = st->str_empty, *values = st->no_values;
    if (kw == NULL && PyTuple_GET_SIZE(args) == 3) { /* as the middleware calls it, for each request */
        context = PyTuple_GET_ITEM(args, 0);
        source = PyTuple_GET_ITEM(args, 1);
        label = PyTuple_GET_ITEM(args, 2);
    }
    else if (!PyArg_ParseTupleAndKeywords(args, kw, "O|OOO:Scope", names, &context, &source, &label, &values)) {
        return NULL;
    }
    return scope_make(st, type, context, source, label, values);
}

/* Scope(context, source, label), as the middleware calls it for each request, without a tuple of arguments. */
static PyObject *
scope_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (nargs == 3 && kwnames == NULL) {
        PyObject *module = PyType_GetModuleByDef((PyTypeObject *)type, &module_def);
        if (module == NULL) {
            return NULL;
        }
        state *st = PyModule_GetState(module);
        return scope_make(st, (PyTypeObject *)type, args[0], args[1], args[2], st->no_values);
    }
    PyObject *tuple = PyTuple_New(nargs), *kw = kwnames == NULL ? NULL : PyDict_New(), *scope = NULL;
    int failed = tuple == NULL || (kw == NULL && kwnames != NULL);
    for (Py_ssize_t i = 0; !failed && i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; !failed && kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        failed = PyDict_SetItem(kw, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0;
    }
    if (!failed) {
        scope = PyType_Type.tp_call(type, tuple, kw);
    }
    Py_XDECREF(tuple);
    Py_XDECREF(kw);
    return scope;
}

#define SCOPE_OBJECTS(each) \
    each(impl) each(context) each(source) each(label) each(namespace) each(resume) each(displaced) each(error) \
    each(values) each(parts) each(thread) each(closer) each(made)

static int
scope_traverse(scopeobject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
#define VISIT(name) Py_VISIT(self->name);
    SCOPE_OBJECTS(VISIT)
#undef VISIT
    return 0;
}

/* The map stays until the end, for code that still unbinds the scope. */
static int
scope_clear(scopeobject *self)
{
    implobject *impl = self->impl;
    self->impl = NULL;
#define CLEAR(name) Py_CLEAR(self->name);
    SCOPE_OBJECTS(CLEAR)
#undef CLEAR
    self->impl = impl;
    return 0;
}

/* A scope that has begun, and that the collector finds open: nobody can close it any more. */
static void
scope_finalize(PyObject *scope)
{
    scopeobject *self = (scopeobject *)scope;
    if (!is_open(self) || self->impl == NULL || self->thread == NULL || self->thread == self->impl->st->zero) {
        return;
    }
    PyObject *error = take_error();
    PyObject *done = PyObject_CallMethodNoArgs(scope, self->impl->st->str_close_unleft);
    if (done == NULL) {
        note_unfinished(self, (PyObject *)self, self->impl->st->str_close_late);
        PyErr_WriteUnraisable(scope);
    }
    Py_XDECREF(done);
    restore_error(error);
}

static void
scope_dealloc(scopeobject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (is_open(self) && PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    scope_clear(self);
    Py_CLEAR(self->impl);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A subclass that adds nothing to ScopeBase's layout is made and freed the quick way. */
static PyObject *
scope_init_subclass(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kw, ":__init_subclass__", names)) {
        return NULL;
    }
    if (type->tp_init == PyBaseObject_Type.tp_init && type->tp_new == scope_new) {
        type->tp_vectorcall = scope_vectorcall;
    }
    if (type->tp_basicsize == sizeof(scopeobject) && type->tp_dictoffset == 0) {
        type->tp_dealloc = (destructor)scope_dealloc;
    }
    Py_RETURN_NONE;
}

/* What is left to do when the scope has ended: parts that another thread has just added, and the observers. */
static int
after_release(scopeobject *self, state *st, PyObject *error)
{
    PyObject *done = NULL;
    if (self->parts != NULL && PyList_GET_SIZE(self->parts) > 0) {
        done = PyObject_CallMethodNoArgs((PyObject *)self, st->str_run_late);
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    if (PyDict_GET_SIZE(st->unfinished) > 0) {
        done = PyObject_CallMethodNoArgs((PyObject *)self, st->str_close_unfinished);
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    if (PyList_GET_SIZE(st->observers) > 0) {
        done = PyObject_CallFunctionObjArgs(st->notify_end, (PyObject *)self, error, NULL);
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    return 0;
}

/* Empty the namespace for good, and let go of the request, which `error` ended, or None. */
static int
scope_release(scopeobject *self, PyObject *error)
{
    state *st = self->impl->st;
    PyObject *kept[] = {self->namespace, self->source, self->values, self->error, self->resume, self->made};
    if (!is_open(self)) {
        return 0;
    }
    Py_INCREF(error);
    PyObject *closer = self->closer;
    self->namespace = Py_NewRef(st->ended);
    self->source = Py_NewRef(Py_None);
    self->closer = NULL;
    self->values = Py_NewRef(st->no_values);
    self->error = self->resume = self->made = NULL;
    int result = end_namespace(st, kept[0]);
    for (size_t i = 1; i < sizeof(kept) / sizeof(*kept); i++) { /* their finalizers may run code, when it is over */
        Py_XDECREF(kept[i]);
    }
    Py_XDECREF(closer);
    give_back_namespace(st, kept[0]);
    if (result == 0) {
        result = after_release(self, st, error);
    }
    Py_DECREF(error);
    return result;
}

/* 1: it is closed, now or before. 0: it has a teardown to run, or that runs. */
static int
close_if_idle(scopeobject *self)
{
    if ((self->parts != NULL && PyList_GET_SIZE(self->parts) > 0) || self->closer != NULL) {
        return !is_open(self);
    }
    return scope_release(self, self->error == NULL ? Py_None : self->error) < 0 ? -1 : 1;
}

/* Note the error that is set as the one that ends the scope. */
static void
note_error(scopeobject *self)
{
    PyObject *error = take_error();
    Py_XSETREF(self->error, Py_XNewRef(error));
    restore_error(error);
}

/* What the caller returns for `result`, of code that ran with the scope bound; NULL with an error. Steals `result`. */
static PyObject *
wrap_result(scopeobject *self, PyObject *result, PyObject *wrap, PyObject *note)
{
    int no_code_left = result == Py_None || PyList_CheckExact(result) || self->closes_early;
    int closed = no_code_left ? close_if_idle(self) : 0;
    if (closed <= 0) {
        PyObject *arguments[] = {result, (PyObject *)self, note};
        Py_SETREF(result, closed < 0 ? NULL : PyObject_Vectorcall(wrap, arguments, 3, NULL));
    }
    return result;
}

static PyObject *
scope_call(scopeobject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 4) {
        return PyErr_Format(PyExc_TypeError, "call() takes at least 4 arguments, not %zd", nargs);
    }
    PyObject *displaced;
    if (bind(self, &displaced) < 0) {
        call_to_close(self, args[1], (PyObject *)self);
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(args[3], args + 4, (size_t)(nargs - 4), NULL);
    if (result != NULL) {
        result = wrap_result(self, result, args[0], args[2]);
    }
    if (result == NULL) {
        note_error(self);
        call_to_close(self, args[1], (PyObject *)self);
    }
    result = unbind_after(self, displaced, result);
    Py_XDECREF(displaced);
    return result;
}

static PyObject *
scope_run(scopeobject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs < 1) {
        return PyErr_Format(PyExc_TypeError, "run() takes the function to call");
    }
    PyObject *displaced;
    if (bind(self, &displaced) < 0) {
        return NULL;
    }
    PyObject *result = unbind_after(self, displaced, PyObject_Vectorcall(args[0], args + 1, (size_t)(nargs - 1), kwnames));
    Py_XDECREF(displaced);
    return result;
}

/* Leave the scope, with the error that is set, which stays set; twice, if something struck it the first time. */
static void
leave_with_error(scopeobject *self)
{
    note_error(self);
    PyObject *error = take_error();
    PyObject *hook = PyObject_GetAttr((PyObject *)self, self->impl->st->str_leave);
    if (hook == NULL) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    restore_error(error);
    if (hook != NULL) {
        call_to_close(self, hook, NULL);
        Py_DECREF(hook);
    }
}

static PyObject *
scope_enter(scopeobject *self, PyObject *Py_UNUSED(ignored))
{
    state *st = self->impl->st;
    int fresh = self->thread == st->zero;
    PyFrameObject *frame = PyEval_GetFrame();
    if (frame != NULL) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        self->by_generator = (code->co_flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
        Py_DECREF(code);
    }
    if (call_method(self, st->str_enter) < 0) {
        if (fresh) {
            leave_with_error(self);
        }
        return NULL;
    }
    return Py_NewRef((PyObject *)self);
}

static PyObject *
scope_exit(scopeobject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3) {
        return PyErr_Format(PyExc_TypeError, "__exit__() takes 3 arguments, not %zd", nargs);
    }
    PyObject *name = self->impl->st->str_leave;
    PyObject *left = PyObject_CallMethodOneArg((PyObject *)self, name, args[1]);
    if (left == NULL) { /* what was struck is done now, and nothing twice */
        PyObject *error = take_error(), *before = begin_handling(error);
        left = PyObject_CallMethodOneArg((PyObject *)self, name, args[1]);
        end_handling(before);
        if (left == NULL && is_open(self)) {
            if (args[1] != Py_None) {
                Py_XSETREF(self->error, Py_NewRef(args[1]));
            }
            note_unfinished(self, (PyObject *)self, self->impl->st->str_close_late);
        }
        if (left == NULL) {
            Py_DECREF(error);
            return NULL;
        }
        restore_error(error);
        Py_CLEAR(left);
    }
    return left;
}

static PyObject *
scope_restore(scopeobject *self, PyObject *displaced)
{
    PyObject *left;
    if (displaced == self->impl->st->attached) {
        return call_method(self, self->impl->st->str_detach) < 0 ? NULL : Py_NewRef(Py_None);
    }
    int result = put_back(self, displaced, &left);
    Py_XDECREF(left);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
scope_bind(scopeobject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *displaced;
    if (bind(self, &displaced) < 0) {
        return NULL;
    }
    return displaced == NULL ? Py_NewRef(Py_None) : displaced;
}

static PyObject *
scope_unbind(scopeobject *self, PyObject *displaced)
{
    return unbind(self, displaced) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
scope_close_if_idle(scopeobject *self, PyObject *Py_UNUSED(ignored))
{
    int closed = close_if_idle(self);
    return closed < 0 ? NULL : PyBool_FromLong(closed);
}

/* Whether the call that runs in `frame` has to close the scope: the first one, or the next after one that was struck. */
static PyObject *
scope_claim_end(scopeobject *self, PyObject *frame)
{
    if (!is_open(self)) {
        Py_RETURN_FALSE;
    }
    if (self->closer != NULL) {
        PyObject *closer = Py_NewRef(self->closer);
        PyObject *over = PyObject_CallMethodNoArgs(closer, self->impl->st->str_clear);
        Py_DECREF(closer);
        if (over == NULL) {
            if (PyErr_ExceptionMatches(PyExc_RuntimeError)) { /* it still runs */
                PyErr_Clear();
                Py_RETURN_FALSE;
            }
            return NULL;
        }
        Py_DECREF(over);
    }
    Py_XSETREF(self->closer, Py_NewRef(frame));
    Py_RETURN_TRUE;
}

static PyObject *
scope_release_method(scopeobject *self, PyObject *error)
{
    return scope_release(self, error) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
scope_get_ended(scopeobject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->namespace == self->impl->st->ended);
}

static PyObject *
scope_get_started(scopeobject *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble((double)self->started * 1e-9);
}

/* The list of the teardown's parts, made when it is first asked for. */
static PyObject *
scope_get_parts(scopeobject *self, void *Py_UNUSED(closure))
{
    if (self->parts == NULL) {
        PyObject *made = PyList_New(0); /* which may run code that asks too */
        if (made == NULL || self->parts != NULL) {
            Py_XDECREF(made);
        }
        else {
            self->parts = made;
        }
    }
    return Py_XNewRef(self->parts);
}

/* What per_request methods have made: a dict, made when it is first asked for. */
static PyObject *
scope_get_made(scopeobject *self, void *Py_UNUSED(closure))
{
    if (self->made == NULL) {
        PyObject *made = PyDict_New(); /* as above */
        if (made == NULL || self->made != NULL) {
            Py_XDECREF(made);
        }
        else {
            self->made = made;
        }
    }
    return Py_XNewRef(self->made);
}

static PyMethodDef scope_methods[] = {
    {"__init_subclass__", (PyCFunction)(void (*)(void))scope_init_subclass, METH_CLASS | METH_VARARGS | METH_KEYWORDS, NULL},
    {"bind", (PyCFunction)scope_bind, METH_NOARGS,
     "Make it current on this thread. Returns what that displaced, which `unbind` wants back.\n\n"
     "Raises RequestEndedError after its end."},
    {"unbind", (PyCFunction)scope_unbind, METH_O,
     "Take it off this thread again, with whatever scopes its code left open there."},
    {"restore", (PyCFunction)scope_restore, METH_O,
     "Make the thread's dict what it was before `bind`, where something struck `unbind`. It may be called again."},
    {"run", (PyCFunction)(void (*)(void))scope_run, METH_FASTCALL | METH_KEYWORDS,
     "run(function, /, *args, **kwargs): return what `function(*args, **kwargs)` returns, which is called with the scope\n"
     "bound. Raises RequestEndedError if the scope has ended."},
    {"__enter__", (PyCFunction)scope_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))scope_exit, METH_FASTCALL, NULL},
    {"call", (PyCFunction)(void (*)(void))scope_call, METH_FASTCALL,
     "call(wrap, on_error, note, function, *args): call `function(*args)` with the scope bound, and return what it returns.\n\n"
     "After a list, or None, no code of the request is left to run: a scope without a teardown is closed at once.\n"
     "Anything else is replaced by what `wrap(result, scope, note)` returns. If the call raises,\n"
     "`on_error(error, scope)` is called, which has to close the scope; once more if it could not."},
    {"close_if_idle", (PyCFunction)scope_close_if_idle, METH_NOARGS,
     "Close it here and now if there is no teardown to run. Returns whether it is closed, now or before."},
    {"_claim_end", (PyCFunction)scope_claim_end, METH_O,
     "Whether the call that `frame` runs has to close it: the first one, or the next after one that was struck."},
    {"_release", (PyCFunction)scope_release_method, METH_O,
     "Empty the namespace for good, and let go of the request, which `error` ended, if anything did."},
    {NULL},
};

static PyMemberDef scope_members[] = {
    {"context", T_OBJECT, offsetof(scopeobject, context), READONLY, NULL},
    {"source", T_OBJECT, offsetof(scopeobject, source), READONLY, NULL},
    {"namespace", T_OBJECT, offsetof(scopeobject, namespace), READONLY, NULL},
    {"serial", T_ULONGLONG, offsetof(scopeobject, serial), READONLY, NULL},
    {"thread", T_OBJECT_EX, offsetof(scopeobject, thread), 0, NULL},
    {"closes_early", T_BOOL, offsetof(scopeobject, closes_early), 0, NULL},
    {"_by_generator", T_BOOL, offsetof(scopeobject, by_generator), READONLY, NULL},
    {"_attached", T_BOOL, offsetof(scopeobject, attached), 0, NULL},
    {"_displaced", T_OBJECT, offsetof(scopeobject, displaced), 0, NULL},
    {"_error", T_OBJECT, offsetof(scopeobject, error), 0, NULL},
    {"_in_loop", T_BOOL, offsetof(scopeobject, in_loop), 0, NULL},
    {"_label", T_OBJECT, offsetof(scopeobject, label), READONLY, NULL},
    {"_resume", T_OBJECT, offsetof(scopeobject, resume), 0, NULL},
    {"_values", T_OBJECT, offsetof(scopeobject, values), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(scopeobject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef scope_getset[] = {
    {"ended", (getter)scope_get_ended, NULL, "Whether it is over: its teardown has run and its values are gone.", NULL},
    {"started", (getter)scope_get_started, NULL, "When it began, in seconds on the clock of `time.monotonic`.", NULL},
    {"_made", (getter)scope_get_made, NULL, "What per_request methods have made, by name.", NULL},
    {"_parts", (getter)scope_get_parts, NULL, "The parts of the teardown.", NULL},
    {NULL},
};

static PyType_Slot scope_slots[] = {
    {Py_tp_doc, "One request's namespace, and its way onto a thread and off it. `Scope` adds what happens at the end."},
    {Py_tp_new, scope_new},
    {Py_tp_dealloc, scope_dealloc},
    {Py_tp_finalize, scope_finalize},
    {Py_tp_traverse, scope_traverse},
    {Py_tp_clear, scope_clear},
    {Py_tp_methods, scope_methods},
    {Py_tp_members, scope_members},
    {Py_tp_getset, scope_getset},
    {0, NULL},
};

static PyType_Spec scope_spec = {
    .name = "tlctx._core._accelerator.ScopeBase",
    .basicsize = sizeof(scopeobject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = scope_slots,
};
