/* One side of an order book in C: the same as the class of plain_ladder.py, whose docstrings say what it does.
 *
 * Its levels stand in two arrays, the worst first: what changes is mostly near the best, and little is moved for it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <string.h>

#define SLACK 4 /* so many times the depth may be held */

typedef struct {
    PyObject_HEAD
    double *keys; /* prices, of asks negated: they rise */
    double *quantities;
    Py_ssize_t count, room, depth;
    double sign; /* of a key */
    double end;  /* a key: the known part begins with it */
    double turn; /* a key: half the way to the end */
} Ladder;

static void
end_at(Ladder *self, double end, double best)
{
    self->end = end;
    self->turn = self->sign * ((self->sign * best + self->sign * end) / 2);
}

static int
reserve(Ladder *self, Py_ssize_t room)
{
    if (room <= self->room)
        return 0;
    room = room < 2 * self->room ? 2 * self->room : room < 64 ? 64 : room;
    double *keys = PyMem_Resize(self->keys, double, (size_t)room);
    if (keys != NULL)
        self->keys = keys;
    double *quantities = keys == NULL ? NULL : PyMem_Resize(self->quantities, double, (size_t)room);
    if (quantities == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->quantities = quantities;
    self->room = room;
    return 0;
}

/* The place of the first key that is not below this one. Near the best, the last one, it is looked for first. */
static inline Py_ssize_t
place_of(const Ladder *self, double key)
{
    const double *keys = self->keys;
    Py_ssize_t high = self->count, step = 4, low = high - step;
    while (low > 0 && keys[low] >= key) {
        high = low;
        step *= 4;
        low = high - step;
    }
    if (low < 0)
        low = 0;
    while (low < high) {
        Py_ssize_t middle = (low + high) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int
put(Ladder *self, Py_ssize_t place, double key, double quantity)
{
    if (reserve(self, self->count + 1) < 0)
        return -1;
    size_t behind = (size_t)(self->count - place) * sizeof(double);
    memmove(self->keys + place + 1, self->keys + place, behind);
    memmove(self->quantities + place + 1, self->quantities + place, behind);
    self->keys[place] = key;
    self->quantities[place] = quantity;
    self->count++;
    return 0;
}

static void
drop(Ladder *self, Py_ssize_t place, Py_ssize_t number)
{
    size_t behind = (size_t)(self->count - place - number) * sizeof(double);
    memmove(self->keys + place, self->keys + place + number, behind);
    memmove(self->quantities + place, self->quantities + place + number, behind);
    self->count -= number;
}

/* Forgets what the depth has no room for, where it is much. */
static void
forget(Ladder *self)
{
    if (self->count / SLACK < self->depth || self->count <= SLACK * self->depth)
        return;
    drop(self, 0, self->count - self->depth);
    end_at(self, self->keys[0], self->keys[self->count - 1]);
}

/* A level as key and quantity; -1 with an exception where it is none. */
static inline int
read_level(const Ladder *self, PyObject *level, double *key, double *quantity)
{
    if (!PyTuple_Check(level) || PyTuple_GET_SIZE(level) != 2) {
        PyErr_SetString(PyExc_TypeError, "a level must be a tuple of price and quantity");
        return -1;
    }
    double price = PyFloat_AsDouble(PyTuple_GET_ITEM(level, 0));
    *quantity = PyFloat_AsDouble(PyTuple_GET_ITEM(level, 1));
    *key = self->sign * price;
    if ((price == -1.0 || *quantity == -1.0) && PyErr_Occurred())
        return -1;
    if (isnan(price)) {
        PyErr_SetString(PyExc_ValueError, "a price must be a number");
        return -1;
    }
    return 0;
}

static PyObject *
ladder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *words[] = {"levels", "is_bids", "depth", NULL};
    PyObject *levels;
    int is_bids;
    Py_ssize_t depth;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!$pn", words, &PyList_Type, &levels, &is_bids, &depth))
        return NULL;
    if (depth < 1)
        return PyErr_Format(PyExc_ValueError, "depth must be positive");
    Ladder *self = (Ladder *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->sign = is_bids ? 1.0 : -1.0;
    self->depth = depth;
    double key = 0.0, quantity, first = 0.0, last = 0.0;
    /* best first: from the other end each comes behind the ones before; of two with one price the later one counts */
    for (Py_ssize_t place = PyList_GET_SIZE(levels) - 1; place >= 0; place--) {
        if (place >= PyList_GET_SIZE(levels))
            continue; /* it has become shorter */
        PyObject *level = Py_NewRef(PyList_GET_ITEM(levels, place));
        int failed = read_level(self, level, &key, &quantity);
        Py_DECREF(level);
        Py_ssize_t at = failed ? 0 : place_of(self, key);
        if (failed || ((at == self->count || self->keys[at] != key) && put(self, at, key, quantity) < 0)) {
            Py_DECREF(self);
            return NULL;
        }
        last = place == PyList_GET_SIZE(levels) - 1 ? key : last;
        first = key;
    }
    end_at(self, PyList_GET_SIZE(levels) >= depth ? last : -INFINITY, first);
    forget(self);
    return (PyObject *)self;
}

static void
ladder_dealloc(Ladder *self)
{
    PyMem_Free(self->keys);
    PyMem_Free(self->quantities);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static Py_ssize_t
ladder_length(Ladder *self)
{
    return self->count;
}

static PyObject *
ladder_change(Ladder *self, PyObject *levels)
{
    if (!PyList_Check(levels)) {
        PyErr_SetString(PyExc_TypeError, "levels must be a list");
        return NULL;
    }
    for (Py_ssize_t number = 0; number < PyList_GET_SIZE(levels); number++) {
        double key, quantity;
        PyObject *level = Py_NewRef(PyList_GET_ITEM(levels, number));
        int failed = read_level(self, level, &key, &quantity);
        Py_DECREF(level);
        if (failed)
            return NULL;
        if (key < self->end)
            continue;
        Py_ssize_t place = place_of(self, key);
        int is_there = place < self->count && self->keys[place] == key;
        if (quantity == 0.0) {
            if (is_there)
                drop(self, place, 1);
        }
        else if (is_there)
            self->quantities[place] = quantity;
        else if (put(self, place, key, quantity) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
ladder_best(Ladder *self, PyObject *argument)
{
    Py_ssize_t wanted = PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    if (wanted == -1 && PyErr_Occurred())
        return NULL;
    wanted = wanted < 0 ? 0 : wanted > self->count ? self->count : wanted;
    PyObject *found = PyList_New(wanted);
    for (Py_ssize_t number = 0; found != NULL && number < wanted; number++) {
        Py_ssize_t place = self->count - 1 - number;
        PyObject *price = PyFloat_FromDouble(self->sign * self->keys[place]);
        PyObject *quantity = PyFloat_FromDouble(self->quantities[place]);
        PyObject *level = price == NULL || quantity == NULL ? NULL : PyTuple_Pack(2, price, quantity);
        Py_XDECREF(price);
        Py_XDECREF(quantity);
        if (level == NULL)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, number, level);
    }
    if (found != NULL)
        forget(self);
    return found;
}

static PyObject *
ladder_cut(Ladder *self, PyObject *argument)
{
    Py_ssize_t kept = PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    if (kept == -1 && PyErr_Occurred())
        return NULL;
    kept = kept < 0 ? 0 : kept;
    if (self->count > kept)
        drop(self, 0, self->count - kept);
    Py_RETURN_NONE;
}

static PyObject *
ladder_nears_end(Ladder *self, PyObject *argument)
{
    double price = PyFloat_AsDouble(argument);
    if (price == -1.0 && PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(self->sign * price < self->turn);
}

static PyObject *
ladder_is_whole(Ladder *self, void *closure)
{
    return PyBool_FromLong(isinf(self->end));
}

static PyMethodDef METHODS[] = {
    {"change", (PyCFunction)ladder_change, METH_O, NULL},
    {"best", (PyCFunction)ladder_best, METH_O, NULL},
    {"cut", (PyCFunction)ladder_cut, METH_O, NULL},
    {"nears_end", (PyCFunction)ladder_nears_end, METH_O, NULL},
    {NULL},
};

static PyGetSetDef PROPERTIES[] = {
    {"is_whole", (getter)ladder_is_whole, NULL, NULL, NULL},
    {NULL},
};

static PySequenceMethods AS_SEQUENCE = {.sq_length = (lenfunc)ladder_length};

static PyTypeObject LADDER = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "flows.operators.books._ladder.Ladder",
    .tp_basicsize = sizeof(Ladder),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = ladder_new,
    .tp_dealloc = (destructor)ladder_dealloc,
    .tp_methods = METHODS,
    .tp_getset = PROPERTIES,
    .tp_as_sequence = &AS_SEQUENCE,
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "flows.operators.books._ladder", NULL, -1, NULL};

PyMODINIT_FUNC
PyInit__ladder(void)
{
    if (PyType_Ready(&LADDER) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&MODULE);
    if (module != NULL && PyModule_AddObjectRef(module, "Ladder", (PyObject *)&LADDER) < 0)
        Py_CLEAR(module);
    return module;
}
