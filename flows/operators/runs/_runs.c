/* Runs of trades, looked at and added up in C: the same functions as in plain.py, whose docstrings say what they do.
 *
 * Attributes of trades are read through the member descriptors of their type, as the interpreter itself reads slots:
 * nothing here knows how a trade lies in memory. What is no slot (a property) is read like any other attribute.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <math.h>

#ifndef Py_T_OBJECT_EX
#define Py_T_OBJECT_EX T_OBJECT_EX
#endif

/* --- attributes --- */

enum { ID, TIME, FIRST_ID, LAST_ID, PRICE, QUANTITY, MAKER, FILL, EVENT_TIME, SYMBOL, FIELDS };

static const char *const NAMES[FIELDS] = {
    "id", "time", "first_id", "last_id", "price", "quantity", "buyer_is_maker", "fill", "event_time", "symbol",
};
static PyObject *names[FIELDS]; /* the same, interned */

/* Where a type has its fields. It holds the type, and with it the members. */
typedef struct {
    PyTypeObject *type;
    PyMemberDef *members[FIELDS]; /* NULL: no slot */
} Fields;

static void
find_fields(Fields *fields, PyTypeObject *type)
{
    Py_INCREF(type);
    Py_XSETREF(fields->type, type);
    for (int field = 0; field < FIELDS; field++) {
        PyObject *found = _PyType_Lookup(type, names[field]); /* borrowed */
        fields->members[field] = NULL;
        if (found != NULL && Py_IS_TYPE(found, &PyMemberDescr_Type) &&
            PyType_IsSubtype(type, PyDescr_TYPE((PyDescrObject *)found))) {
            PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
            if (member->type == Py_T_OBJECT_EX)
                fields->members[field] = member;
        }
    }
}

/* A new reference to an attribute; NULL with an exception where it has none. */
static inline PyObject *
get(PyObject *trade, const Fields *fields, int field)
{
    PyMemberDef *member = fields->members[field];
    return member != NULL ? PyMember_GetOne((const char *)trade, member) : PyObject_GetAttr(trade, names[field]);
}

#define MOST_WHOLE (1LL << 62)

/* A whole number, so small that one may be added; 0 where it is none, and without an exception then. */
static inline int
get_whole(PyObject *trade, const Fields *fields, int field, long long *value)
{
    PyObject *found = get(trade, fields, field);
    if (found == NULL) {
        return 0;
    }
    int overflow = 0;
    long long whole = PyLong_CheckExact(found) ? PyLong_AsLongLongAndOverflow(found, &overflow) : MOST_WHOLE;
    Py_DECREF(found);
    *value = whole;
    return !overflow && whole > -MOST_WHOLE && whole < MOST_WHOLE;
}

static inline int
get_real(PyObject *trade, const Fields *fields, int field, double *value)
{
    PyObject *found = get(trade, fields, field);
    if (found == NULL)
        return -1;
    *value = PyFloat_AsDouble(found);
    Py_DECREF(found);
    return *value == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* The trade at a place as a new reference, and its fields; NULL at the end. Reading may run code that changes the list. */
static inline PyObject *
next_trade(PyObject *trades, Py_ssize_t place, Fields *fields)
{
    if (place >= PyList_GET_SIZE(trades))
        return NULL;
    PyObject *trade = PyList_GET_ITEM(trades, place);
    Py_INCREF(trade);
    if (Py_TYPE(trade) != fields->type)
        find_fields(fields, Py_TYPE(trade));
    return trade;
}

static int
is_list(PyObject *trades)
{
    if (PyList_Check(trades))
        return 1;
    PyErr_SetString(PyExc_TypeError, "trades must be a list");
    return 0;
}

/* --- whether they continue --- */

/* The answer of a scan that has stopped: what a trade lacks is no error, it only does not continue. */
static PyObject *
not_continued(PyObject *trade)
{
    Py_XDECREF(trade);
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_AttributeError))
        return NULL;
    PyErr_Clear();
    Py_RETURN_NONE;
}

static PyObject *
scan_aggregates_with(Fields *fields, PyObject *const *args)
{
    PyObject *trades = args[0], *trade;
    long long following = PyLong_AsLongLong(args[1]), fill = PyLong_AsLongLong(args[2]);
    int fills_follow = PyObject_IsTrue(args[3]);
    long long most_fills = PyLong_AsLongLong(args[4]);
    if (PyErr_Occurred())
        return NULL;
    long long begin = 0, end = 0;
    for (Py_ssize_t place = 0; (trade = next_trade(trades, place, fields)) != NULL; place++) {
        long long id, first, last, time;
        if (!get_whole(trade, fields, FIRST_ID, &first) || !get_whole(trade, fields, LAST_ID, &last) ||
            !get_whole(trade, fields, TIME, &time) || !get_whole(trade, fields, ID, &id))
            return not_continued(trade);
        if (place == 0) {
            begin = end = time;
            fill = fill < 0 ? first : fill;
        }
        if (id != following || (first != fill && (fills_follow || first < fill)))
            return not_continued(trade);
        if (last != first && !(first < last && last - first < most_fills))
            return not_continued(trade);
        Py_DECREF(trade);
        following++;
        fill = last + 1;
        if (time >= end)
            end = time;
        else if (time < begin)
            begin = time;
    }
    return Py_BuildValue("LL", begin, end);
}

static PyObject *
scan_fills_with(Fields *fields, PyObject *const *args)
{
    PyObject *trades = args[0], *market = args[2], *trade;
    long long following = PyLong_AsLongLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    PyTypeObject *kind = NULL;
    long long begin = 0, end = 0;
    for (Py_ssize_t place = 0; (trade = next_trade(trades, place, fields)) != NULL; place++) {
        long long id, time;
        double price, quantity;
        if (place == 0)
            kind = Py_TYPE(trade);
        if (Py_TYPE(trade) != kind || !get_whole(trade, fields, TIME, &time) ||
            !get_whole(trade, fields, ID, &id) || id != following)
            return not_continued(trade);
        if (get_real(trade, fields, PRICE, &price) < 0 || get_real(trade, fields, QUANTITY, &quantity) < 0)
            return not_continued(trade);
        if (price == 0.0 || quantity == 0.0) {
            PyObject *fill = get(trade, fields, FILL);
            int is_market = fill == NULL ? -1 : PyObject_RichCompareBool(fill, market, Py_EQ);
            Py_XDECREF(fill);
            if (is_market)
                return not_continued(trade);
        }
        Py_DECREF(trade);
        following++;
        if (place == 0)
            begin = end = time;
        else if (time >= end)
            end = time;
        else if (time < begin)
            begin = time;
    }
    return Py_BuildValue("LL", begin, end);
}

/* --- sums --- */

#define MOST_PARTS 48 /* of an exact sum: none has two that overlap, and a float64 has room for 40 */

/* The parts of an exact sum, each a float64 that lacks nothing: the least first. */
typedef struct {
    double parts[MOST_PARTS];
    int count;
} Exact;

/* Adds what two parts cannot hold: `fsum` does the same with all. */
static int
add_rest(Exact *sum, double value)
{
    int kept = 2;
    for (int part = 2; part < sum->count; part++) {
        double other = sum->parts[part], total = value + other, part_of_it = total - value;
        double lost = (value - (total - part_of_it)) + (other - part_of_it);
        if (lost != 0.0)
            sum->parts[kept++] = lost;
        value = total;
    }
    if (value != 0.0) {
        if (kept == MOST_PARTS)
            return -1;
        sum->parts[kept++] = value;
    }
    sum->count = kept;
    return 0;
}

/* Adds a value without rounding: what the sum loses by it goes to the second part, what that loses to the others. */
static inline int
add(Exact *sum, double value)
{
    double before = sum->parts[0], total = before + value, of_it = total - before;
    double lost = (before - (total - of_it)) + (value - of_it);
    double rest = sum->parts[1], lost_total = rest + lost, of_lost = lost_total - rest;
    double twice = (rest - (lost_total - of_lost)) + (lost - of_lost);
    sum->parts[0] = total;
    sum->parts[1] = lost_total;
    return twice != 0.0 ? add_rest(sum, twice) : 0;
}

static int
add_parts(Exact *sum, PyObject *parts)
{
    sum->parts[0] = sum->parts[1] = 0.0;
    sum->count = 2;
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(parts); place++) {
        double part = PyFloat_AsDouble(PyList_GET_ITEM(parts, place));
        if ((part == -1.0 && PyErr_Occurred()) || add(sum, part) < 0)
            return -1;
    }
    return 0;
}

static int
put_parts(PyObject *parts, const Exact *sum)
{
    int count = 0;
    double found[MOST_PARTS];
    for (int part = 0; part < sum->count; part++)
        if (sum->parts[part] != 0.0)
            found[count++] = sum->parts[part];
    PyObject *values = PyList_New(count);
    if (values == NULL)
        return -1;
    for (int part = 0; part < count; part++) {
        PyObject *value = PyFloat_FromDouble(found[part]);
        if (value == NULL) {
            Py_DECREF(values);
            return -1;
        }
        PyList_SET_ITEM(values, part, value);
    }
    int result = PyList_SetSlice(parts, 0, PyList_GET_SIZE(parts), values);
    Py_DECREF(values);
    return result;
}

enum { VOLUME, QUOTE_VOLUME, BOUGHT, BOUGHT_VALUE, SUMS };

static PyObject *
add_up_with(Fields *fields, PyObject *const *args)
{
    PyObject *trades = args[0], *trade;
    Exact sums[SUMS];
    for (int sum = 0; sum < SUMS; sum++)
        if (!is_list(args[1 + sum]) || add_parts(&sums[sum], args[1 + sum]) < 0)
            return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_OverflowError, "too many parts of a sum");
    double high = -INFINITY, low = INFINITY;
    long long raw = 0;
    int is_exact = 1;
    for (Py_ssize_t place = 0; (trade = next_trade(trades, place, fields)) != NULL; place++) {
        double price, quantity;
        long long first, last;
        PyObject *maker = get(trade, fields, MAKER);
        int is_sold = maker == NULL ? -1 : PyObject_IsTrue(maker);
        Py_XDECREF(maker);
        if (is_sold < 0 || get_real(trade, fields, PRICE, &price) < 0 ||
            get_real(trade, fields, QUANTITY, &quantity) < 0) {
            Py_DECREF(trade);
            return NULL;
        }
        if (fields->members[FIRST_ID] == NULL && fields->members[LAST_ID] == NULL)
            raw++; /* a single fill */
        else if (get_whole(trade, fields, FIRST_ID, &first) && get_whole(trade, fields, LAST_ID, &last))
            raw += last - first + 1;
        else {
            Py_DECREF(trade);
            return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_OverflowError, "ids that are too large");
        }
        Py_DECREF(trade);
        double value = price * quantity;
        high = price > high ? price : high;
        low = price < low ? price : low;
        is_exact &= add(&sums[VOLUME], quantity) == 0 && add(&sums[QUOTE_VOLUME], value) == 0;
        if (!is_sold)
            is_exact &= add(&sums[BOUGHT], quantity) == 0 && add(&sums[BOUGHT_VALUE], value) == 0;
    }
    for (int sum = 0; sum < SUMS; sum++)
        is_exact &= isfinite(sums[sum].parts[0]) != 0 && isfinite(sums[sum].parts[1]) != 0;
    if (!is_exact)
        return PyErr_Format(PyExc_OverflowError, "a sum that is not finite");
    for (int sum = 0; sum < SUMS; sum++)
        if (put_parts(args[1 + sum], &sums[sum]) < 0)
            return NULL;
    return Py_BuildValue("ddL", high, low, raw);
}

/* --- sums that are shown --- */

/* The same as flows/model/printed.py. */
static const double UNITS = 1e8, ROUNDS = 6755399441055744.0 /* 1.5 * 2^52 */, SAFE = 1125899906842624.0 /* 2^50 */;

/* Adds the parts in a list without rounding; what two parts of the sum cannot hold is odd. */
static int
add_shown(double sum[2], PyObject *parts)
{
    if (!PyList_Check(parts))
        return 0;
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(parts); place++) {
        PyObject *part = PyList_GET_ITEM(parts, place);
        if (!PyFloat_CheckExact(part))
            return 0;
        double value = PyFloat_AS_DOUBLE(part), before = sum[0], total = before + value, of_it = total - before;
        double lost = (before - (total - of_it)) + (value - of_it);
        double rest = sum[1], lost_total = rest + lost, of_lost = lost_total - rest;
        if ((rest - (lost_total - of_lost)) + (lost - of_lost) != 0.0)
            return 0;
        sum[0] = total;
        sum[1] = lost_total;
    }
    return 1;
}

/* Where two parts hold the sum, adding them rounds it once, as `fsum` does; and `printed` takes its short way for it.
 * The first argument is the function of plain.py, which is called for what is odd. */
static PyObject *
shown_sum(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "shown_sum takes 3 arguments");
    double sum[2] = {0.0, 0.0};
    if (add_shown(sum, args[1]) && add_shown(sum, args[2])) {
        double units = (sum[0] + sum[1]) * UNITS, whole = (units + ROUNDS) - ROUNDS, off = units - whole;
        if (whole > 0.0 && whole < SAFE && off > -0.25 && off < 0.25)
            return PyFloat_FromDouble(whole / UNITS);
    }
    return PyObject_CallFunctionObjArgs(args[0], args[1], args[2], NULL);
}

/* --- of several instruments --- */

static PyObject *
by_symbol_with(Fields *fields, PyObject *const *args)
{
    PyObject *trades = args[0], *runs = PyDict_New(), *trade;
    for (Py_ssize_t place = 0; runs != NULL && (trade = next_trade(trades, place, fields)) != NULL; place++) {
        PyObject *symbol = get(trade, fields, SYMBOL), *run = NULL;
        int result = -1;
        if (symbol != NULL && (run = PyDict_GetItemWithError(runs, symbol)) != NULL)
            result = PyList_Append(run, trade);
        else if (symbol != NULL && !PyErr_Occurred() && (run = PyList_New(1)) != NULL) {
            Py_INCREF(trade);
            PyList_SET_ITEM(run, 0, trade);
            result = PyDict_SetItem(runs, symbol, run);
            Py_DECREF(run);
        }
        Py_XDECREF(symbol);
        Py_DECREF(trade);
        if (result < 0)
            Py_CLEAR(runs);
    }
    return runs;
}

static PyObject *
newest_event_with(Fields *fields, PyObject *const *args)
{
    PyObject *newest = NULL, *trade;
    for (Py_ssize_t place = 0; (trade = next_trade(args[0], place, fields)) != NULL; place++) {
        PyObject *time = get(trade, fields, EVENT_TIME);
        Py_DECREF(trade);
        int is_newer = time == NULL ? -1 : newest == NULL ? 1 : PyObject_RichCompareBool(time, newest, Py_GT);
        if (is_newer < 0) {
            Py_XDECREF(time);
            Py_XDECREF(newest);
            return NULL;
        }
        if (is_newer)
            Py_XSETREF(newest, time);
        else
            Py_DECREF(time);
    }
    return newest != NULL ? newest : PyLong_FromLong(0);
}

/* --- the module --- */

/* A function of so many arguments, of which the first is a list of trades. */
#define FUNCTION(name, arguments)                                                                                      \
    static PyObject *name(PyObject *module, PyObject *const *args, Py_ssize_t count)                                   \
    {                                                                                                                  \
        Fields fields = {NULL};                                                                                        \
        if (count != (arguments))                                                                                      \
            return PyErr_Format(PyExc_TypeError, #name " takes %d arguments", (arguments));                            \
        if (!is_list(args[0]))                                                                                         \
            return NULL;                                                                                               \
        PyObject *result = name##_with(&fields, args);                                                                 \
        Py_XDECREF(fields.type);                                                                                       \
        return result;                                                                                                 \
    }

FUNCTION(scan_aggregates, 5)
FUNCTION(scan_fills, 3)
FUNCTION(add_up, 1 + SUMS)
FUNCTION(by_symbol, 1)
FUNCTION(newest_event, 1)

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}

static PyMethodDef METHODS[] = {
    METHOD(scan_aggregates),
    METHOD(scan_fills),
    METHOD(add_up),
    METHOD(shown_sum),
    METHOD(by_symbol),
    METHOD(newest_event),
    {NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "flows.operators.runs._runs", NULL, -1, METHODS};

PyMODINIT_FUNC
PyInit__runs(void)
{
    for (int field = 0; field < FIELDS; field++)
        if ((names[field] = PyUnicode_InternFromString(NAMES[field])) == NULL)
            return NULL;
    return PyModule_Create(&MODULE);
}
