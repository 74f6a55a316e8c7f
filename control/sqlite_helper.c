/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/sqlite_helper.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/assert.h"

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql, const char *format, va_list arguments)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        fprintf(stderr, "store: %s: %s\n", sqlite3_errmsg(db), sql);
        return NULL;
    }
    for (int i = 0; format[i]; i++) {
        CW_ASSERT(format[i] == 'i' || format[i] == 't');
        if (format[i] == 'i')
            sqlite3_bind_int64(statement, i + 1, va_arg(arguments, int64_t));
        else
            sqlite3_bind_text(statement, i + 1, va_arg(arguments, const char *), -1, SQLITE_TRANSIENT);
    }
    return statement;
}

sqlite3_stmt *cw_sql_prepare(sqlite3 *db, const char *sql, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sqlite3_stmt *statement = prepare(db, sql, format, arguments);
    va_end(arguments);
    return statement;
}

enum cw_status cw_sql_run(sqlite3 *db, const char *sql, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sqlite3_stmt *statement = prepare(db, sql, format, arguments);
    va_end(arguments);
    if (!statement)
        return CW_IO;
    int result;
    do {
        result = sqlite3_step(statement);
    } while (result == SQLITE_ROW);
    sqlite3_finalize(statement);
    if (result == SQLITE_CONSTRAINT)
        return CW_EXISTS;
    if (result == SQLITE_BUSY)
        return CW_AGAIN;
    if (result != SQLITE_DONE)
        fprintf(stderr, "store: %s: %s\n", sqlite3_errmsg(db), sql);
    return result == SQLITE_DONE ? CW_OK : CW_IO;
}

void cw_sql_text(sqlite3_stmt *statement, int column, char *to, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(to, size, "%s", text ? text : "");
}
