package reactor

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxCPUs is how many processors a unix.CPUSet can name.
const maxCPUs = 1024

// processCPUs is the processors that the process may run on. It is asked before any thread is bound, for the one that
// calls could be.
var processCPUs = sync.OnceValues(func() (may unix.CPUSet, err error) {
	err = os.NewSyscallError("sched_getaffinity", unix.SchedGetaffinity(0, &may))
	return may, err
})

// cpu chooses the ith loop's processor, or -1 for none in particular.
func (o *options) cpu(i int) (int, error) {
	if !o.pinned {
		return -1, nil
	}
	may, err := processCPUs()
	if err != nil {
		return -1, fmt.Errorf("reactor: WithCPUs: %w", err)
	}
	cpus := o.cpus
	if len(cpus) == 0 {
		cpus = nil // o.cpus is the caller's
		for cpu := range maxCPUs {
			if may.IsSet(cpu) {
				cpus = append(cpus, cpu)
			}
		}
	}
	cpu := cpus[i%len(cpus)]
	if cpu < 0 || !may.IsSet(cpu) {
		return -1, fmt.Errorf("reactor: WithCPUs: there is no processor %d that this process may run on; see sched_getaffinity(2)", cpu)
	}
	return cpu, nil
}

// pin binds the calling thread, which is locked, to a processor. See sched_setaffinity(2).
func pin(cpu int) (unpin func(), err error) {
	var before, only unix.CPUSet
	only.Set(cpu)
	err = unix.SchedGetaffinity(0, &before)
	if err == nil {
		err = unix.SchedSetaffinity(0, &only)
	}
	if err != nil {
		return nil, fmt.Errorf("reactor: WithCPUs(%d): %w", cpu, os.NewSyscallError("sched_setaffinity", err))
	}
	return func() { unix.SchedSetaffinity(0, &before) }, nil
}
