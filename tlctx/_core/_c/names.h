/* Names that a class has no data descriptor for: looking that up takes a third of the time of a read.

   An entry holds for one version of a class (`tp_version_tag`, 0 for none). No other class has that number, and a change of
   the class or of one of its bases takes it away. What the class has under the name may become a data descriptor by a change
   of its own class, so that one has to be the same, too. As long as the class has its version it has the object, too, so `found` may be borrowed. */

/* `name` is a text. */
static inline int
is_dict_name(state *st, PyObject *name)
{
    return name == st->str_dict || (!PyUnicode_CHECK_INTERNED(name) && PyUnicode_Compare(name, st->str_dict) == 0);
}

static inline plain_name *
plain_name_entry(state *st, PyObject *name)
{
    return &st->plain_names[((uintptr_t)name >> 4) % PLAIN_NAMES];
}

/* Remember what a look-up in `type`, at this version of it, has found, which is no data descriptor. */
static void
remember_plain(state *st, unsigned int version, PyObject *name, PyObject *found)
{
    unsigned int found_version = found == NULL ? 0 : class_version(Py_TYPE(found));
    if (!PyUnicode_CheckExact(name) || (found != NULL && found_version == 0)) {
        return;
    }
    plain_name *entry = plain_name_entry(st, name);
    entry->version = version;
    entry->found = found;
    entry->found_version = found_version;
    Py_XSETREF(entry->name, Py_NewRef(name));
}

/* Whether a look-up in the class finds no data descriptor of that name, which is not `__dict__`. */
static int
look_whether_plain(state *st, PyTypeObject *type, PyObject *name)
{
    if (!PyUnicode_Check(name) || is_dict_name(st, name)) {
        return 0;
    }
    /* The look-up may run code that changes the class: then its version is another one. */
    Py_INCREF(type);
    unsigned int version = class_version(type);
    PyObject *found = look_up_in_class(type, name);
    int plain = found == NULL || Py_TYPE(found)->tp_descr_set == NULL;
    if (plain && version != 0 && version == class_version(type)) {
        remember_plain(st, version, name, found);
    }
    Py_XDECREF(found);
    Py_DECREF(type);
    return plain;
}

static inline int
is_plain(state *st, PyTypeObject *type, PyObject *name)
{
    plain_name *entry = plain_name_entry(st, name);
    int known = entry->name == name && entry->version == class_version(type) && entry->version != 0
                && (entry->found == NULL || class_version(Py_TYPE(entry->found)) == entry->found_version);
    return known || look_whether_plain(st, type, name);
}
