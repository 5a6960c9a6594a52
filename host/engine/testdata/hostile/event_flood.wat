;; Emits a hundred thousand events.
(module
  (import "wasmhost_v1" "command" (func $command (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  ;; expect traps unless the result r has this code.
  (func $expect (param $r i64) (param $code i32)
    (if (i64.ne (i64.shr_u (local.get $r) (i64.const 32)) (i64.extend_i32_u (local.get $code)))
      (then (unreachable))))
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (local $i i32)
    (loop $l
      (call $expect (call $command (i32.const 0) (i32.const 18) (i32.const 512) (i32.const 64)) (i32.const 0))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 100000))))
    (i32.const 0))
  (data (i32.const 0) "\81\a4name\abevents/emit"))
