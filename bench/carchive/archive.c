// The archive job with libsqlite3: in pages, it inserts the oldest rows of
// chat_messages into the archive, commits, reads them back and compares them,
// deletes them from the primary and commits. Prints the seconds that it took,
// without opening and closing the databases, and the rows that it moved.
//
// usage: archive PRIMARY ARCHIVE ROWS_OF_A_PAGE
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COLUMNS = 17, ID = 0 };

struct value {
  int type;
  sqlite3_int64 integer;
  double number;
  size_t at; // of text and blobs, where they begin in the page's bytes
  int n;
};

struct page {
  struct value *values; // COLUMNS of each row
  int rows;
  char *bytes;
  size_t used, room;
};

static void fail(sqlite3 *db, const char *doing) {
  fprintf(stderr, "%s: %s\n", doing, sqlite3_errmsg(db));
  exit(1);
}

static sqlite3 *open_database(const char *path) {
  sqlite3 *db;
  if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL)) fail(db, path);
  // What the store of the product sets.
  const char *setup = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                      "PRAGMA wal_autocheckpoint = 10000; PRAGMA cache_size = -65536;";
  if (sqlite3_exec(db, setup, NULL, NULL, NULL)) fail(db, path);
  return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *st;
  if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL)) fail(db, sql);
  return st;
}

static void run(sqlite3 *db, sqlite3_stmt *st, const char *doing) {
  if (sqlite3_step(st) != SQLITE_DONE) fail(db, doing);
  sqlite3_reset(st);
}

static void *need(void *p) {
  if (!p) { fputs("out of memory\n", stderr); exit(1); }
  return p;
}

static const void *body(sqlite3_stmt *st, int column, int type, int *n) {
  const void *p = type == SQLITE_TEXT ? (const void *)sqlite3_column_text(st, column) : sqlite3_column_blob(st, column);
  *n = sqlite3_column_bytes(st, column);
  return p;
}

static void keep(struct page *p, sqlite3_stmt *st) {
  struct value *row = p->values + (size_t)p->rows++ * COLUMNS;
  for (int i = 0; i < COLUMNS; i++) {
    struct value *v = row + i;
    v->type = sqlite3_column_type(st, i);
    switch (v->type) {
    case SQLITE_INTEGER: v->integer = sqlite3_column_int64(st, i); break;
    case SQLITE_FLOAT: v->number = sqlite3_column_double(st, i); break;
    case SQLITE_TEXT:
    case SQLITE_BLOB: {
      const void *from = body(st, i, v->type, &v->n);
      while (p->used + v->n > p->room) p->bytes = need(realloc(p->bytes, p->room *= 2));
      v->at = p->used;
      if (v->n) memcpy(p->bytes + p->used, from, v->n);
      p->used += v->n;
    }
    }
  }
}

static void bind(struct page *p, sqlite3 *db, sqlite3_stmt *st, int param, struct value *v) {
  int rc = SQLITE_OK;
  switch (v->type) {
  case SQLITE_INTEGER: rc = sqlite3_bind_int64(st, param, v->integer); break;
  case SQLITE_FLOAT: rc = sqlite3_bind_double(st, param, v->number); break;
  case SQLITE_TEXT: rc = sqlite3_bind_text(st, param, p->bytes + v->at, v->n, SQLITE_STATIC); break;
  case SQLITE_BLOB: rc = sqlite3_bind_blob(st, param, p->bytes + v->at, v->n, SQLITE_STATIC); break;
  default: rc = sqlite3_bind_null(st, param);
  }
  if (rc) fail(db, "binding");
}

static int same(struct page *p, sqlite3_stmt *st, struct value *row) {
  for (int i = 0; i < COLUMNS; i++) {
    struct value *v = row + i;
    if (sqlite3_column_type(st, i) != v->type) return 0;
    switch (v->type) {
    case SQLITE_INTEGER: if (sqlite3_column_int64(st, i) != v->integer) return 0; break;
    case SQLITE_FLOAT: if (sqlite3_column_double(st, i) != v->number) return 0; break;
    case SQLITE_TEXT:
    case SQLITE_BLOB: {
      int n;
      const void *b = body(st, i, v->type, &n);
      if (n != v->n || (n && memcmp(b, p->bytes + v->at, n))) return 0;
    }
    }
  }
  return 1;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  int most = argc == 4 ? atoi(argv[3]) : 0;
  if (most <= 0) { fputs("usage: archive PRIMARY ARCHIVE ROWS_OF_A_PAGE\n", stderr); return 2; }
  sqlite3 *primary = open_database(argv[1]), *archive = open_database(argv[2]);
  double start = now();
  sqlite3_stmt *begin[2] = {prepare(archive, "BEGIN IMMEDIATE"), prepare(primary, "BEGIN IMMEDIATE")};
  sqlite3_stmt *commit[2] = {prepare(archive, "COMMIT"), prepare(primary, "COMMIT")};
  sqlite3_stmt *select = prepare(primary, "SELECT * FROM chat_messages ORDER BY timestamp, id LIMIT ?");
  sqlite3_stmt *insert = prepare(archive,
      "INSERT INTO chat_messages VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING");
  sqlite3_stmt *find = prepare(archive, "SELECT * FROM chat_messages WHERE id = ?");
  sqlite3_stmt *delete = prepare(primary, "DELETE FROM chat_messages WHERE id = ?");
  if (sqlite3_column_count(select) != COLUMNS) { fputs("another table was expected\n", stderr); return 1; }
  struct page page = {.room = 1 << 20};
  page.values = need(malloc((size_t)most * COLUMNS * sizeof *page.values));
  page.bytes = need(malloc(page.room));
  long moved = 0;
  for (;;) {
    page.rows = 0, page.used = 0;
    sqlite3_bind_int(select, 1, most);
    int rc;
    while ((rc = sqlite3_step(select)) == SQLITE_ROW) keep(&page, select);
    if (rc != SQLITE_DONE) fail(primary, "reading");
    sqlite3_reset(select);
    if (page.rows == 0) break;

    run(archive, begin[0], "beginning");
    for (int r = 0; r < page.rows; r++) {
      for (int i = 0; i < COLUMNS; i++) bind(&page, archive, insert, i + 1, page.values + (size_t)r * COLUMNS + i);
      run(archive, insert, "inserting");
    }
    run(archive, commit[0], "committing the archive");

    for (int r = 0; r < page.rows; r++) {
      struct value *row = page.values + (size_t)r * COLUMNS;
      bind(&page, archive, find, 1, row + ID);
      if (sqlite3_step(find) != SQLITE_ROW) fail(archive, "reading back");
      if (!same(&page, find, row)) { fputs("a row differs\n", stderr); return 1; }
      sqlite3_reset(find);
    }

    run(primary, begin[1], "beginning");
    for (int r = 0; r < page.rows; r++) {
      bind(&page, primary, delete, 1, page.values + (size_t)r * COLUMNS + ID);
      run(primary, delete, "deleting");
    }
    run(primary, commit[1], "committing the primary");
    moved += page.rows;
  }
  printf("%.6f %ld %s\n", now() - start, moved, sqlite3_libversion());
  // The process ends without closing: what closing would write belongs to no side.
  fflush(stdout);
  _Exit(0);
}
