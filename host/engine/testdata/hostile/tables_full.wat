;; Declares as many and as large tables as it may, and an instruction that could
;; change one, so that every task gets all of them anew.
(module
  (import "wasmhost_v1" "task_return" (func $task_return (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "ok")
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (table.set $t (i32.const 0) (ref.null func))
    (drop (call $task_return (i32.const 0) (i32.const 2)))
    (i32.const 0))
  (table $t 131072 funcref)
  (table 131072 funcref)
  (table 131072 funcref)
  (table 131072 funcref))
