;; Hands back a result, then another: the last one counts.
(module
  (import "wasmhost_v1" "task_return" (func $task_return (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  ;; expect traps unless the result r has this code.
  (func $expect (param $r i64) (param $code i32)
    (if (i64.ne (i64.shr_u (local.get $r) (i64.const 32)) (i64.extend_i32_u (local.get $code)))
      (then (unreachable))))
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (call $expect (call $task_return (i32.const 0) (i32.const 5)) (i32.const 0))
    (call $expect (call $task_return (i32.const 7) (i32.const 6)) (i32.const 0))
    (i32.const 0))
  (data (i32.const 0) "first, second"))
