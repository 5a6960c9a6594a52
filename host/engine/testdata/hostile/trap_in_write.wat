;; Writes two batches and traps in the middle of the third.
(module
  (import "wasmhost_v1" "rows_write" (func $rows_write (param i32 i32 i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  ;; expect traps unless the result r has this code.
  (func $expect (param $r i64) (param $code i32)
    (if (i64.ne (i64.shr_u (local.get $r) (i64.const 32)) (i64.extend_i32_u (local.get $code)))
      (then (unreachable))))
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (call $expect (call $rows_write (i32.const 64) (i32.const 34) (i32.const 0) (i32.const 4) (i32.const 512) (i32.const 64)) (i32.const 0))
    (call $expect (call $rows_write (i32.const 64) (i32.const 34) (i32.const 0) (i32.const 4) (i32.const 512) (i32.const 64)) (i32.const 0))
    (unreachable))
  (data (i32.const 0) "\82\a6handle\a1h\aacollection\a1c")
  (data (i32.const 64) "\91\83\a6handle\a1h\aacollection\a1c\a2op\a6insert")
  (data (i32.const 128) "\81\a4name\a4ping")
  (data (i32.const 192) "early"))
