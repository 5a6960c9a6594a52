;; Requests of 15 MB that are well-formed and would be gigabytes when decoded: the code
;; is limit_exceeded (11) and the host allocates next to nothing.
(module
  (import "wasmhost_v1" "rows_open" (func $rows_open (param i32 i32) (result i64)))
  (import "wasmhost_v1" "rows_write" (func $rows_write (param i32 i32 i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 300)
  ;; expect traps unless the result r has this code.
  (func $expect (param $r i64) (param $code i32)
    (if (i64.ne (i64.shr_u (local.get $r) (i64.const 32)) (i64.extend_i32_u (local.get $code)))
      (then (unreachable))))
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    ;; columns of 15 million empty names
    (memory.fill (i32.const 0) (i32.const 0xa0) (i32.const 15800000))
    (memory.init $d0 (i32.const 0) (i32.const 0) (i32.const 14))
    (call $expect (call $rows_open (i32.const 0) (i32.const 15000014)) (i32.const 11))
    ;; after with 15 million nils
    (memory.fill (i32.const 0) (i32.const 0xc0) (i32.const 15800000))
    (memory.init $d1 (i32.const 0) (i32.const 0) (i32.const 12))
    (call $expect (call $rows_open (i32.const 0) (i32.const 15000012)) (i32.const 11))
    ;; after with 15 million empty lists
    (memory.fill (i32.const 0) (i32.const 0x90) (i32.const 15800000))
    (memory.init $d2 (i32.const 0) (i32.const 0) (i32.const 12))
    (call $expect (call $rows_open (i32.const 0) (i32.const 15000012)) (i32.const 11))
    ;; after with 15 million empty maps
    (memory.fill (i32.const 0) (i32.const 0x80) (i32.const 15800000))
    (memory.init $d3 (i32.const 0) (i32.const 0) (i32.const 12))
    (call $expect (call $rows_open (i32.const 0) (i32.const 15000012)) (i32.const 11))
    ;; 15 million empty mutations
    (memory.fill (i32.const 0) (i32.const 0x80) (i32.const 15800000))
    (memory.init $d4 (i32.const 0) (i32.const 0) (i32.const 5))
    (call $expect (call $rows_write (i32.const 0) (i32.const 15000005) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 11))
    (i32.const 0))
  (data $d0 "\81\a7columns\dd\00\e4\e1\c0")
  (data $d1 "\81\a5after\dd\00\e4\e1\c0")
  (data $d2 "\81\a5after\dd\00\e4\e1\c0")
  (data $d3 "\81\a5after\dd\00\e4\e1\c0")
  (data $d4 "\dd\00\e4\e1\c0"))
