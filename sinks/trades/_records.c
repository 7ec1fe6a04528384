/* Whether the trades of stored records can be, looked at in C: the same as `are_sound` of record_checks.py says with
 * arrays, which take NumPy into memory.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#if PY_BIG_ENDIAN
#error "columns are little-endian"
#endif

enum { ID, TIME, PRICE, QUANTITY, FIRST_ID, LAST_ID, SIDE, FILL, COLUMNS };

static const char *const NAMES[COLUMNS] = {
    "id", "time", "price", "quantity", "first_id", "last_id", "buyer_is_maker", "fill",
};
static PyObject *names[COLUMNS];

/* What no trade reaches. */
typedef struct {
    double value;
    int64_t fills;
    int kinds;
} Bounds;

static inline int64_t
whole_at(const char *column, Py_ssize_t place)
{
    int64_t value;
    memcpy(&value, column + 8 * place, 8);
    return value;
}

static inline double
real_at(const char *column, Py_ssize_t place)
{
    double value;
    memcpy(&value, column + 8 * place, 8);
    return value;
}

static inline int
is_value(double value, unsigned char fill, double bound)
{
    return (value > 0.0 && value < bound) || (fill != 0 && value == 0.0);
}

/* Whether the trades of a record can be, and are in its period. The columns have `count` places, or none. */
static int
is_sound(const char *const *columns, Py_ssize_t count, int64_t begin, int64_t end, const Bounds *bounds)
{
    int64_t before = -1;
    for (Py_ssize_t place = 0; place < count; place++) {
        int64_t id = whole_at(columns[ID], place), time = whole_at(columns[TIME], place);
        unsigned char side = (unsigned char)columns[SIDE][place];
        unsigned char fill = columns[FILL] != NULL ? (unsigned char)columns[FILL][place] : 0;
        if (id <= before || time < begin || time >= end || side > 1 || fill >= bounds->kinds)
            return 0;
        before = id;
        if (!is_value(real_at(columns[PRICE], place), fill, bounds->value) ||
            !is_value(real_at(columns[QUANTITY], place), fill, bounds->value))
            return 0;
        if (columns[FIRST_ID] != NULL) {
            int64_t first = whole_at(columns[FIRST_ID], place), last = whole_at(columns[LAST_ID], place);
            if (first < 0 || last < first || last - first >= bounds->fills)
                return 0;
        }
    }
    return count > 0;
}

/* 1: sound, 0: not, -1: an exception. */
static int
is_record_sound(PyObject *part, int64_t begin, int64_t end, const Bounds *bounds)
{
    PyObject *blobs[COLUMNS] = {NULL};
    const char *columns[COLUMNS];
    int result = -1;
    for (int column = 0; column < COLUMNS; column++) {
        if ((blobs[column] = PyObject_GetAttr(part, names[column])) == NULL)
            goto end;
        if (!PyBytes_Check(blobs[column])) {
            PyErr_SetString(PyExc_TypeError, "a column must be bytes");
            goto end;
        }
    }
    Py_ssize_t count = PyBytes_GET_SIZE(blobs[SIDE]);
    result = 0;
    for (int column = 0; column < COLUMNS; column++) {
        Py_ssize_t size = PyBytes_GET_SIZE(blobs[column]), usual = column >= SIDE ? count : 8 * count;
        int is_optional = column == FIRST_ID || column == LAST_ID || column == FILL;
        if (size != usual && !(is_optional && size == 0))
            goto end;
        columns[column] = size == 0 ? NULL : PyBytes_AS_STRING(blobs[column]);
    }
    if ((columns[FIRST_ID] == NULL) == (columns[LAST_ID] == NULL))
        result = is_sound(columns, count, begin, end, bounds);
end:
    for (int column = 0; column < COLUMNS; column++)
        Py_XDECREF(blobs[column]);
    return result;
}

static PyObject *
are_within(PyObject *module, PyObject *args)
{
    PyObject *parts, *begins, *ends;
    Bounds bounds;
    long long fills;
    if (!PyArg_ParseTuple(args, "O!O!O!dLi", &PyList_Type, &begins, &PyList_Type, &ends, &PyList_Type, &parts,
                          &bounds.value, &fills, &bounds.kinds))
        return NULL;
    bounds.fills = fills;
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(parts); place++) {
        if (place >= PyList_GET_SIZE(begins) || place >= PyList_GET_SIZE(ends))
            return PyErr_Format(PyExc_ValueError, "a begin and an end for each record");
        long long begin = PyLong_AsLongLong(PyList_GET_ITEM(begins, place));
        long long end = PyLong_AsLongLong(PyList_GET_ITEM(ends, place));
        if (PyErr_Occurred())
            return NULL;
        PyObject *part = Py_NewRef(PyList_GET_ITEM(parts, place));
        int result = is_record_sound(part, begin, end, &bounds);
        Py_DECREF(part);
        if (result <= 0)
            return result < 0 ? NULL : Py_NewRef(Py_False);
    }
    return Py_NewRef(Py_True);
}

static PyMethodDef METHODS[] = {
    {"are_within", are_within, METH_VARARGS, NULL},
    {NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "sinks.trades._records", NULL, -1, METHODS};

PyMODINIT_FUNC
PyInit__records(void)
{
    for (int column = 0; column < COLUMNS; column++)
        if ((names[column] = PyUnicode_InternFromString(NAMES[column])) == NULL)
            return NULL;
    return PyModule_Create(&MODULE);
}
