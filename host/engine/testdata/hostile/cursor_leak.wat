;; Opens cursors until that is refused with limit_exceeded (11), and leaves them open.
(module
  (import "wasmhost_v1" "rows_open" (func $rows_open (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (local $r i64)
    (loop $more
      (local.set $r (call $rows_open (i32.const 0) (i32.const 23)))
      (br_if $more (i64.eqz (i64.shr_u (local.get $r) (i64.const 32)))))
    (if (i64.ne (i64.shr_u (local.get $r) (i64.const 32)) (i64.const 11)) (then (unreachable)))
    (i32.const 0))
  (data (i32.const 0) "\82\a6handle\a1h\aacollection\a1c"))
