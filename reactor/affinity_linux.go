package reactor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxCPUs is how many processors a unix.CPUSet can name.
const maxCPUs = 1024

// cpu chooses the ith loop's processor, or -1 for none in particular.
func (o *options) cpu(i int) (int, error) {
	if !o.pinned {
		return -1, nil
	}
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return -1, fmt.Errorf("reactor: WithCPUs: %w", os.NewSyscallError("sched_getaffinity", err))
	}
	cpus := o.cpus
	if len(cpus) == 0 {
		for cpu := range maxCPUs {
			if may.IsSet(cpu) {
				cpus = append(cpus, cpu)
			}
		}
	}
	cpu := cpus[i%len(cpus)]
	if !may.IsSet(cpu) {
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
