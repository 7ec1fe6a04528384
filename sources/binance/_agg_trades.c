/* Frames of aggregate trades in the form in which Binance sends them, read in C: one pass over the bytes of each.
 *
 * Only what is exactly of that form is taken, and only values that are within every bound of `wire.py` anyway: names of
 * one letter in any order, plain whole numbers and decimals. Whatever else comes is left to the decoder of all messages,
 * which says what is wrong with it, if anything is.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define MOST_NAME 64
#define MOST_STREAMS 16384

static const char HEAD[] = "{\"stream\":\"", DATA[] = "\",\"data\":{", KIND[] = "\"aggTrade\"", TAIL[] = "}}";
static const char NOT_USED[] = "\"nq\":"; /* USD-M: the quantity without that of some kinds of orders */
#define LENGTH(text) ((Py_ssize_t)sizeof(text) - 1)

typedef struct {
    uint64_t hash;
    PyObject *name, *symbol; /* NULL: free */
    const char *name_text, *symbol_text;
    Py_ssize_t name_length, symbol_length;
} Stream;

typedef struct {
    PyObject_HEAD
    PyObject *make;
    Stream *streams; /* open addressing, at most half full */
    size_t places, used;
} Reader;

enum { EVENT_TIME, SYMBOL, ID, PRICE, QUANTITY, FIRST_ID, LAST_ID, TIME, MAKER, FIELDS };

static const char *const NAMES[FIELDS] = {
    "event_time", "symbol", "id", "price", "quantity", "first_id", "last_id", "time", "buyer_is_maker",
};
static PyObject *names; /* the same as a tuple of interned texts */

/* --- the streams --- */

static uint64_t
hash_of(const char *text, Py_ssize_t length)
{
    uint64_t hash = 14695981039346656037u;
    for (Py_ssize_t place = 0; place < length; place++)
        hash = (hash ^ (unsigned char)text[place]) * 1099511628211u;
    return hash;
}

static Stream *
place_of(Stream *streams, size_t places, uint64_t hash, const char *name, Py_ssize_t length)
{
    for (size_t place = hash & (places - 1);; place = (place + 1) & (places - 1)) {
        Stream *stream = &streams[place];
        if (stream->name == NULL || (stream->hash == hash && stream->name_length == length &&
                                     memcmp(stream->name_text, name, (size_t)length) == 0))
            return stream;
    }
}

static int
grow(Reader *self)
{
    size_t places = self->places ? self->places * 2 : 64;
    Stream *streams = PyMem_Calloc(places, sizeof(Stream));
    if (streams == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t place = 0; place < self->places; place++) {
        Stream *stream = &self->streams[place];
        if (stream->name != NULL)
            *place_of(streams, places, stream->hash, stream->name_text, stream->name_length) = *stream;
    }
    PyMem_Free(self->streams);
    self->streams = streams;
    self->places = places;
    return 0;
}

static PyObject *
reader_add(Reader *self, PyObject *args)
{
    Stream added = {0};
    if (!PyArg_ParseTuple(args, "UU", &added.name, &added.symbol))
        return NULL;
    added.name_text = PyUnicode_AsUTF8AndSize(added.name, &added.name_length);
    added.symbol_text = PyUnicode_AsUTF8AndSize(added.symbol, &added.symbol_length);
    if (added.name_text == NULL || added.symbol_text == NULL)
        return NULL;
    if (added.name_length > MOST_NAME || memchr(added.name_text, '"', (size_t)added.name_length) != NULL ||
        memchr(added.name_text, '\\', (size_t)added.name_length) != NULL || self->used >= MOST_STREAMS)
        Py_RETURN_NONE;
    if (self->used * 2 >= self->places && grow(self) < 0)
        return NULL;
    added.hash = hash_of(added.name_text, added.name_length);
    Stream *stream = place_of(self->streams, self->places, added.hash, added.name_text, added.name_length);
    if (stream->name == NULL) {
        Py_INCREF(added.name);
        Py_INCREF(added.symbol);
        *stream = added;
        self->used++;
    }
    Py_RETURN_NONE;
}

/* --- values --- */

/* A whole number of at most 18 digits as JSON has it; negative where there is none. */
static inline int64_t
read_whole(const char **at, const char *end)
{
    const char *begin = *at, *next = begin;
    int64_t value = 0;
    while (next < end && (unsigned char)(*next - '0') <= 9 && next - begin <= 18)
        value = value * 10 + (*next++ - '0');
    *at = next;
    return next == begin || next - begin > 18 || (*begin == '0' && next - begin > 1) ? -1 : value;
}

static const double TENS[] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
};

#define MOST_DIGITS 36

/* What is between `begin` and `end`, digits and perhaps a point among them, as the float64 next to it. */
static double
read_long_decimal(const char *begin, const char *end)
{
    char text[MOST_DIGITS + 2];
    if (end - begin > MOST_DIGITS)
        return -1.0;
    memcpy(text, begin, (size_t)(end - begin));
    text[end - begin] = '\0';
    double value = PyOS_string_to_double(text, NULL, NULL);
    if (value == -1.0 && PyErr_Occurred())
        PyErr_Clear();
    return value;
}

/* A quoted decimal number as the float64 next to it; negative where it is no usual one. Where both its digits, as a
 * whole number below 2^53, and the power of ten are float64s, their quotient is rounded once.
 */
static inline double
read_decimal(const char **at, const char *end)
{
    const char *next = *at;
    if (next >= end || *next++ != '"')
        return -1.0;
    const char *begin = next;
    uint64_t digits = 0;
    while (next < end && (unsigned char)(*next - '0') <= 9 && next - begin <= 12)
        digits = digits * 10 + (uint64_t)(*next++ - '0');
    Py_ssize_t whole = next - begin, places = 0;
    if (whole == 0 || whole > 12 || (*begin == '0' && whole > 1))
        return -1.0;
    if (next < end && *next == '.') {
        const char *fraction = ++next, *behind = fraction;
        while (behind < end && (unsigned char)(*behind - '0') <= 9)
            behind++;
        const char *last = behind;
        while (last > fraction && last[-1] == '0')
            last--;
        places = last - fraction;
        if (behind == fraction)
            return -1.0;
        if (whole + places <= 18)
            while (next < last)
                digits = digits * 10 + (uint64_t)(*next++ - '0');
        next = behind;
    }
    if (next >= end || *next != '"')
        return -1.0;
    *at = next + 1;
    if (whole + places > 18 || digits > (UINT64_C(1) << 53))
        return read_long_decimal(begin, next);
    return (double)digits / TENS[places];
}

static inline int
skip(const char **at, const char *end, const char *text, Py_ssize_t length)
{
    if (end - *at < length || memcmp(*at, text, (size_t)length) != 0)
        return 0;
    *at += length;
    return 1;
}

static inline int
read_truth(const char **at, const char *end)
{
    return skip(at, end, "true", 4) ? 1 : skip(at, end, "false", 5) ? 0 : -1;
}

/* --- a frame --- */

typedef struct {
    int64_t event_time, id, first_id, last_id, time;
    double price, quantity;
    int is_maker;
} Values;

enum { TAKEN, OTHER, ODD };

#define LEAST_TIME INT64_C(1000000000000)
#define MOST_TIME INT64_C(100000000000000) /* more, and it counts microseconds */

/* TAKEN: the values of a trade of a known stream. OTHER: of another stream. ODD: of a known stream, in another form. */
static int
read_frame(Reader *self, const char *at, const char *end, Values *values, Stream **found)
{
    if (!skip(&at, end, HEAD, LENGTH(HEAD)) || self->places == 0)
        return OTHER;
    const char *quote = memchr(at, '"', (size_t)(end - at < MOST_NAME + 1 ? end - at : MOST_NAME + 1));
    if (quote == NULL)
        return OTHER;
    Stream *stream = place_of(self->streams, self->places, hash_of(at, quote - at), at, quote - at);
    if (stream->name == NULL)
        return OTHER;
    *found = stream;
    at = quote;
    if (!skip(&at, end, DATA, LENGTH(DATA)))
        return ODD;
    unsigned read = 0; /* a bit for each name */
    for (;;) {
        if (end - at < 8 || at[0] != '"')
            return ODD;
        if (skip(&at, end, NOT_USED, LENGTH(NOT_USED))) {
            if (read_decimal(&at, end) < 0.0 || !skip(&at, end, ",", 1))
                return ODD;
            continue;
        }
        if (at[2] != '"' || at[3] != ':')
            return ODD;
        char name = at[1];
        unsigned bit;
        at += 4;
        int is_read;
        switch (name) {
        case 'e': bit = 1; is_read = skip(&at, end, KIND, LENGTH(KIND)); break;
        case 'E': bit = 2; is_read = (values->event_time = read_whole(&at, end)) >= LEAST_TIME && values->event_time < MOST_TIME; break;
        case 's': bit = 4; is_read = *at++ == '"' && skip(&at, end, stream->symbol_text, stream->symbol_length) && skip(&at, end, "\"", 1); break;
        case 'a': bit = 8; is_read = (values->id = read_whole(&at, end)) >= 0; break;
        case 'p': bit = 16; is_read = (values->price = read_decimal(&at, end)) > 0.0; break;
        case 'q': bit = 32; is_read = (values->quantity = read_decimal(&at, end)) > 0.0; break;
        case 'f': bit = 64; is_read = (values->first_id = read_whole(&at, end)) >= 0; break;
        case 'l': bit = 128; is_read = (values->last_id = read_whole(&at, end)) >= 0; break;
        case 'T': bit = 256; is_read = (values->time = read_whole(&at, end)) >= LEAST_TIME && values->time < MOST_TIME; break;
        case 'm': bit = 512; is_read = (values->is_maker = read_truth(&at, end)) >= 0; break;
        case 'M': bit = 1024; is_read = read_truth(&at, end) >= 0; break;
        default: return ODD;
        }
        if (!is_read || (read & bit))
            return ODD;
        read |= bit;
        if (at < end && *at == ',')
            at++;
        else
            break;
    }
    return (read | 1024) == 2047 && skip(&at, end, TAIL, LENGTH(TAIL)) && at == end ? TAKEN : ODD;
}

static PyObject *
made(Reader *self, const Values *values, const Stream *stream)
{
    PyObject *fields[FIELDS] = {NULL}, *trade = NULL;
    fields[EVENT_TIME] = PyLong_FromLongLong(values->event_time);
    fields[SYMBOL] = Py_NewRef(stream->symbol);
    fields[ID] = PyLong_FromLongLong(values->id);
    fields[PRICE] = PyFloat_FromDouble(values->price);
    fields[QUANTITY] = PyFloat_FromDouble(values->quantity);
    fields[FIRST_ID] = PyLong_FromLongLong(values->first_id);
    fields[LAST_ID] = values->last_id == values->first_id ? Py_XNewRef(fields[FIRST_ID]) : PyLong_FromLongLong(values->last_id);
    fields[TIME] = values->time == values->event_time ? Py_XNewRef(fields[EVENT_TIME]) : PyLong_FromLongLong(values->time);
    fields[MAKER] = PyBool_FromLong(values->is_maker);
    int is_whole = 1;
    for (int field = 0; field < FIELDS; field++)
        is_whole &= fields[field] != NULL;
    if (is_whole)
        trade = PyObject_Vectorcall(self->make, fields, 0, names);
    for (int field = 0; field < FIELDS; field++)
        Py_XDECREF(fields[field]);
    return trade;
}

static PyObject *
reader_read(Reader *self, PyObject *payloads)
{
    if (!PyList_Check(payloads)) {
        PyErr_SetString(PyExc_TypeError, "payloads must be a list");
        return NULL;
    }
    PyObject *trades = PyList_New(0), *others = PyList_New(0), *result = NULL;
    if (trades == NULL || others == NULL)
        goto end;
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(payloads); place++) {
        PyObject *payload = PyList_GET_ITEM(payloads, place);
        Values values = {0};
        Stream *stream = NULL;
        int form = OTHER;
        if (PyBytes_CheckExact(payload)) {
            const char *text = PyBytes_AS_STRING(payload);
            form = read_frame(self, text, text + PyBytes_GET_SIZE(payload), &values, &stream);
        }
        if (form == ODD) {
            result = Py_NewRef(Py_None);
            goto end;
        }
        PyObject *trade = form == TAKEN ? made(self, &values, stream) : NULL;
        if (form == TAKEN && trade == NULL)
            goto end;
        int failed = form == TAKEN ? PyList_Append(trades, trade) : PyList_Append(others, payload);
        Py_XDECREF(trade);
        if (failed)
            goto end;
    }
    result = PyTuple_Pack(2, trades, others);
end:
    Py_XDECREF(trades);
    Py_XDECREF(others);
    return result;
}

/* --- the module --- */

static PyObject *
reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *make;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "Reader takes no names");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O", &make))
        return NULL;
    Reader *self = (Reader *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->make = Py_NewRef(make);
    return (PyObject *)self;
}

static void
reader_dealloc(Reader *self)
{
    for (size_t place = 0; place < self->places; place++) {
        Py_XDECREF(self->streams[place].name);
        Py_XDECREF(self->streams[place].symbol);
    }
    PyMem_Free(self->streams);
    Py_XDECREF(self->make);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef READER_METHODS[] = {
    {"add", (PyCFunction)reader_add, METH_VARARGS, NULL},
    {"read", (PyCFunction)reader_read, METH_O, NULL},
    {NULL},
};

static PyTypeObject READER = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "sources.binance._agg_trades.Reader",
    .tp_basicsize = sizeof(Reader),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = reader_new,
    .tp_dealloc = (destructor)reader_dealloc,
    .tp_methods = READER_METHODS,
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "sources.binance._agg_trades", NULL, -1, NULL};

PyMODINIT_FUNC
PyInit__agg_trades(void)
{
    names = PyTuple_New(FIELDS);
    for (int field = 0; field < FIELDS && names != NULL; field++) {
        PyObject *name = PyUnicode_InternFromString(NAMES[field]);
        if (name == NULL)
            return NULL;
        PyTuple_SET_ITEM(names, field, name);
    }
    if (names == NULL || PyType_Ready(&READER) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&MODULE);
    if (module != NULL && PyModule_AddObjectRef(module, "Reader", (PyObject *)&READER) < 0)
        Py_CLEAR(module);
    return module;
}
