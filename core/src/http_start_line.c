/* SPDX-License-Identifier: MIT */
/* Request lines and status lines (RFC 9112, 3 and 4): read with tolerance where one is due, and found with care where
 * nothing is known of what is before them. */
#include "http_internal.h"

/* tchar of RFC 9110, 5.6.2. */
static const bool token_table[256] = {
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true, ['*'] = true, ['+'] = true,
    ['-'] = true, ['.'] = true, ['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true,  ['4'] = true, ['5'] = true,
    ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true, ['A'] = true, ['B'] = true,  ['C'] = true, ['D'] = true,
    ['E'] = true, ['F'] = true, ['G'] = true, ['H'] = true, ['I'] = true, ['J'] = true,  ['K'] = true, ['L'] = true,
    ['M'] = true, ['N'] = true, ['O'] = true, ['P'] = true, ['Q'] = true, ['R'] = true,  ['S'] = true, ['T'] = true,
    ['U'] = true, ['V'] = true, ['W'] = true, ['X'] = true, ['Y'] = true, ['Z'] = true,  ['^'] = true, ['_'] = true,
    ['`'] = true, ['a'] = true, ['b'] = true, ['c'] = true, ['d'] = true, ['e'] = true,  ['f'] = true, ['g'] = true,
    ['h'] = true, ['i'] = true, ['j'] = true, ['k'] = true, ['l'] = true, ['m'] = true,  ['n'] = true, ['o'] = true,
    ['p'] = true, ['q'] = true, ['r'] = true, ['s'] = true, ['t'] = true, ['u'] = true,  ['v'] = true, ['w'] = true,
    ['x'] = true, ['y'] = true, ['z'] = true, ['|'] = true, ['~'] = true};

bool fs__http_is_token(const uint8_t *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (!token_table[text[i]])
            return false;
    }
    return length > 0;
}

static size_t token_length(const uint8_t *text, size_t length) {
    size_t n = 0;
    while (n < length && token_table[text[n]])
        n++;
    return n;
}

/* Of IANA's registry of methods, and what UPnP, Outlook, Subversion, Icecast and caches send besides. */
static const char *const methods[] = {"GET",
                                      "POST",
                                      "HEAD",
                                      "PUT",
                                      "DELETE",
                                      "CONNECT",
                                      "OPTIONS",
                                      "TRACE",
                                      "PATCH",
                                      "PROPFIND",
                                      "PROPPATCH",
                                      "MKCOL",
                                      "COPY",
                                      "MOVE",
                                      "LOCK",
                                      "UNLOCK",
                                      "REPORT",
                                      "SEARCH",
                                      "NOTIFY",
                                      "SUBSCRIBE",
                                      "UNSUBSCRIBE",
                                      "M-SEARCH",
                                      "M-POST",
                                      "RPC_CONNECT",
                                      "RPC_IN_DATA",
                                      "RPC_OUT_DATA",
                                      "BCOPY",
                                      "BDELETE",
                                      "BMOVE",
                                      "BPROPFIND",
                                      "BPROPPATCH",
                                      "POLL",
                                      "CHECKIN",
                                      "CHECKOUT",
                                      "UNCHECKOUT",
                                      "MERGE",
                                      "MKACTIVITY",
                                      "MKWORKSPACE",
                                      "MKCALENDAR",
                                      "VERSION-CONTROL",
                                      "UPDATE",
                                      "LABEL",
                                      "BASELINE-CONTROL",
                                      "BIND",
                                      "UNBIND",
                                      "REBIND",
                                      "ACL",
                                      "ORDERPATCH",
                                      "LINK",
                                      "UNLINK",
                                      "PURGE",
                                      "SOURCE",
                                      "CCM_POST",
                                      "SMS_POST",
                                      "QUERY"};
enum { METHODS = sizeof methods / sizeof *methods };

static bool is_known_method(const uint8_t *text, size_t length) {
    for (size_t i = 0; i < METHODS; i++) {
        if (fs__http_equals(text, length, methods[i]))
            return true;
    }
    return false;
}

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

/* What both have in common. */
static bool begins_like(const uint8_t *text, size_t length, const char *word) {
    size_t n = strlen(word);
    return memcmp(text, word, length < n ? length : n) == 0;
}

static bool is_plausible_status(const uint8_t *text, size_t length) {
    return begins_like(text, length, "HTTP/") || begins_like(text, length, "ICY ");
}

static bool is_plausible_request(const uint8_t *text, size_t length) {
    size_t n = token_length(text, length < FS__HTTP_PLAUSIBLE_BYTES ? length : FS__HTTP_PLAUSIBLE_BYTES);
    if (n == 0 || n > FS_HTTP_METHOD_MAX)
        return false;
    return n == length || fs__http_is_blank(text[n]);
}

bool fs__http_is_plausible(enum fs__http_role role, const uint8_t *text, size_t length) {
    if (length == 0)
        return true;
    return (role != FS__HTTP_CLIENT && is_plausible_status(text, length)) ||
           (role != FS__HTTP_SERVER && is_plausible_request(text, length));
}

enum { STATUS_BYTES = 12, VERSION_BYTES = 8 }; /* "HTTP/1.1 200", "HTTP/1.1" */

/* ---- reading ---- */

/* "HTTP/" digits ["." digits]; returns how many bytes it takes, 0 if it is none. */
static size_t read_version(struct fs__http_head *head, const uint8_t *text, size_t length) {
    if (length < 6 || memcmp(text, "HTTP/", 5) != 0 || !is_digit(text[5]))
        return 0;
    uint8_t major = (uint8_t)(text[5] - '0'), minor = 0;
    size_t n = 6;
    if (length >= 8 && text[6] == '.' && is_digit(text[7])) {
        minor = (uint8_t)(text[7] - '0');
        n = 8;
    }
    if (n != 8 || major != 1 || minor > 1)
        head->flags |= FS_HTTP_START_LINE_ODD;
    head->version_major = major;
    head->version_minor = minor;
    return n;
}

static size_t skip_blanks(const uint8_t *text, size_t length, size_t at) {
    while (at < length && fs__http_is_blank(text[at]))
        at++;
    return at;
}

static bool read_status(struct fs__http_head *head, struct fs__memory *memory, const struct fs__http_line *line) {
    const uint8_t *text = line->text;
    size_t length = line->length;
    size_t after = 3; /* SHOUTcast's "ICY 200 OK" */
    if (begins_like(text, length, "ICY ")) {
        head->version_major = 1;
        head->version_minor = 0;
        head->flags |= FS_HTTP_START_LINE_ODD;
    } else {
        after = read_version(head, text, length);
    }
    if (after == 0)
        return false;
    size_t at = skip_blanks(text, length, after);
    if (at == after)
        return false;
    size_t digits = 0;
    unsigned status = 0;
    for (; digits < 3 && at + digits < length && is_digit(text[at + digits]); digits++)
        status = status * 10 + (unsigned)(text[at + digits] - '0');
    if (digits == 0 || (line->clipped && digits < 3))
        return false;
    size_t end = at + digits;
    if (at != after + 1 || digits != 3 || status < 100 || (end < length && text[end] != ' '))
        head->flags |= FS_HTTP_START_LINE_ODD;
    head->status = (uint16_t)status;
    struct fs_http_text reason = fs__http_trim(text + end, length - end);
    fs__http_keep(head, memory, FS__HTTP_TEXT_REASON, reason.data, reason.length);
    return true;
}

/* Where the last word begins. */
static size_t last_word(const uint8_t *text, size_t length) {
    while (length > 0 && !fs__http_is_blank(text[length - 1]))
        length--;
    return length;
}

static bool read_request_version(struct fs__http_head *head, const struct fs__http_line *line, size_t method,
                                 struct fs_http_text *target) {
    size_t word = last_word(target->data, target->length);
    const uint8_t *version = target->data + word;
    size_t version_length = target->length - word;
    if (!line->clipped && word > 0 && read_version(head, version, version_length) > 0) {
        if (version_length != 8)
            head->flags |= FS_HTTP_START_LINE_ODD;
        *target = fs__http_trim(target->data, word);
        return true;
    }
    if (line->clipped) /* its version was not kept */
        return is_known_method(line->text, method);
    /* HTTP/0.9 had one method. Others without a version are a broken client's, if at all. */
    if (!is_known_method(line->text, method) || version_length == 0)
        return false;
    bool is_path = target->data[0] == '/' || begins_like(target->data, target->length, "http://");
    if (word > 0 || !is_path || !fs__http_equals(line->text, method, "GET"))
        return false;
    head->flags |= FS_HTTP_0_9;
    head->version_minor = 9;
    return true;
}

/* Each space is one, a tab as many as are never right. */
static size_t count_blanks(const struct fs__http_line *line) {
    size_t count = 0;
    for (size_t i = 0; i < line->length; i++)
        count += line->text[i] == ' ' ? 1u : line->text[i] == '\t' ? 3u : 0u;
    return count;
}

static bool read_request(struct fs__http_head *head, struct fs__memory *memory, const struct fs__http_line *line) {
    size_t method = token_length(line->text, line->length);
    if (method == 0 || method > FS_HTTP_METHOD_MAX || method == line->length || !fs__http_is_blank(line->text[method]))
        return false;
    struct fs_http_text target = fs__http_trim(line->text + method, line->length - method);
    if (target.length == 0 || !read_request_version(head, line, method, &target) || target.length == 0)
        return false;
    /* Clipped lines lack their end. */
    if (!line->clipped && count_blanks(line) != (head->flags & FS_HTTP_0_9 ? 1 : 2))
        head->flags |= FS_HTTP_START_LINE_ODD;
    fs__http_keep(head, memory, FS__HTTP_TEXT_METHOD, line->text, method);
    fs__http_keep(head, memory, FS__HTTP_TEXT_TARGET, target.data, target.length);
    return true;
}

enum fs__http_role fs__http_start_line(struct fs__http_head *head, struct fs__memory *memory, enum fs__http_role role,
                                       const struct fs__http_line *line) {
    enum fs__http_role found = FS__HTTP_UNKNOWN;
    if (line->length == 0)
        return FS__HTTP_UNKNOWN;
    if (role != FS__HTTP_CLIENT && is_plausible_status(line->text, line->length)) {
        if (read_status(head, memory, line))
            found = FS__HTTP_SERVER;
    } else if (role != FS__HTTP_SERVER && read_request(head, memory, line)) {
        found = FS__HTTP_CLIENT;
    }
    head->is_response = found == FS__HTTP_SERVER;
    if (line->clipped)
        head->flags |= FS_HTTP_LINE_TRUNCATED;
    if (line->bare_lf)
        head->flags |= FS_HTTP_BARE_LF;
    if (memchr(line->text, '\r', line->length))
        head->flags |= FS_HTTP_BARE_CR;
    if (memchr(line->text, '\0', line->length))
        head->flags |= FS_HTTP_NUL;
    return found;
}

/* ---- reading what is left of one ---- */

static bool is_target(const uint8_t *method, size_t method_length, const uint8_t *target, size_t length) {
    return target[0] == '/' || target[0] == '*' || fs__http_equals(method, method_length, "CONNECT") ||
           (length > 7 && begins_like(target, length, "http://"));
}

enum fs__http_role fs__http_cut_start_line(struct fs__http_head *head, struct fs__memory *memory,
                                           enum fs__http_role role, const uint8_t *text, size_t length) {
    const struct fs__http_line line = {.text = text, .length = length, .clipped = true};
    if (role != FS__HTTP_CLIENT && is_plausible_status(text, length)) {
        head->is_response = read_status(head, memory, &line);
        return head->is_response ? FS__HTTP_SERVER : FS__HTTP_UNKNOWN;
    }
    size_t method = token_length(text, length);
    if (role == FS__HTTP_SERVER || method == length || !is_known_method(text, method))
        return FS__HTTP_UNKNOWN;
    size_t start = skip_blanks(text, length, method), end = start;
    while (end < length && !fs__http_is_blank(text[end]))
        end++;
    if (start == method || start == end || !is_target(text, method, text + start, end - start))
        return FS__HTTP_UNKNOWN;
    fs__http_keep(head, memory, FS__HTTP_TEXT_METHOD, text, method);
    fs__http_keep(head, memory, FS__HTTP_TEXT_TARGET, text + start, end - start);
    size_t version = skip_blanks(text, length, end);
    if (end == length)
        head->flags |= FS_HTTP_TEXT_TRUNCATED;
    if (length - version >= VERSION_BYTES)
        read_version(head, text + version, length - version);
    return FS__HTTP_CLIENT;
}

/* ---- finding ---- */

static bool is_version_1(const uint8_t *text) {
    return memcmp(text, "HTTP/1.", 7) == 0 && (text[7] == '0' || text[7] == '1');
}

/* Text that speaks of HTTP sets it off by blanks, quotes or brackets; the end of a body does so rarely. */
static bool is_set_off(uint8_t before) {
    return before != '\0' && strchr(" \t\"'`(<>=|", before) != NULL;
}

static bool is_status_at(const uint8_t *text, size_t length, size_t at) {
    const uint8_t *p = text + at;
    if (length - at < STATUS_BYTES || !is_version_1(p) || p[8] != ' ')
        return false;
    if (p[9] < '1' || p[9] > '9' || !is_digit(p[10]) || !is_digit(p[11]))
        return false;
    if (length - at > STATUS_BYTES && p[STATUS_BYTES] != ' ')
        return false;
    return at == 0 || !is_set_off(text[at - 1]);
}

static size_t find_status(const uint8_t *text, size_t length) {
    for (size_t at = 0; at + STATUS_BYTES <= length; at++) {
        const uint8_t *h = memchr(text + at, 'H', length - STATUS_BYTES + 1 - at);
        if (!h)
            break;
        at = (size_t)(h - text);
        if (is_status_at(text, length, at))
            return at;
    }
    return length;
}

/* The longest method that these bytes end in; 0 if none. What is before it must set it apart. */
static size_t ends_in_method(const uint8_t *text, size_t length) {
    size_t best = 0;
    for (size_t i = 0; i < METHODS; i++) {
        size_t n = strlen(methods[i]);
        if (n > best && n <= length && memcmp(text + length - n, methods[i], n) == 0)
            best = n;
    }
    return best;
}

/* METHOD SP target SP HTTP/1.x to the end of the line. */
static size_t find_request(const uint8_t *text, size_t length) {
    if (length < VERSION_BYTES + 1 || !is_version_1(text + length - VERSION_BYTES))
        return length;
    size_t end = length - VERSION_BYTES - 1; /* of the target */
    if (text[end] != ' ')
        return length;
    size_t target = last_word(text, end);
    if (target == end || target == 0 || text[target - 1] != ' ')
        return length;
    size_t method = ends_in_method(text, target - 1);
    size_t at = target - 1 - method;
    if (method == 0 || (at > 0 && is_set_off(text[at - 1])))
        return length;
    return at;
}

size_t fs__http_find_start_line(enum fs__http_role role, const uint8_t *text, size_t length) {
    size_t at = length;
    if (role != FS__HTTP_CLIENT)
        at = find_status(text, length);
    if (at == length && role != FS__HTTP_SERVER)
        at = find_request(text, length);
    return at;
}
