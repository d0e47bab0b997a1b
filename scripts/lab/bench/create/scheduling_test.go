package main

import "testing"

// TestCountCalls counts in lines as strace -f writes them: whole calls, calls that another thread's
// line interrupts, signals and ends of threads.
func TestCountCalls(t *testing.T) {
	calls, monitors := countCalls(`101   nanosleep({tv_sec=0, tv_nsec=20000}, NULL) = 0
22483 nanosleep({tv_sec=0, tv_nsec=10000000},  <unfinished ...>
102   futex(0xbe60c8, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>
22483 <... nanosleep resumed>NULL) = 0
102   nanosleep({tv_sec=0, tv_nsec=3000}, NULL) = 0
102   --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL, si_pid=101, si_uid=0} ---
102   <... futex resumed>) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)
102   +++ exited with 0 +++
`)
	if calls["nanosleep"] != 3 || calls["futex"] != 1 || monitors != 2 {
		t.Errorf("%v, %d of the monitor", calls, monitors)
	}
}
