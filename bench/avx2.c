/*
 * Shows what a processor without AVX-512 and VNNI would do, on an Intel processor that has them (flag cpuid_fault of
 * /proc/cpuinfo, Linux on x86-64): CPUID is made to fault, and answered without AVX-512, AVX-VNNI, AMX and bfloat16, so that
 * libraries take their code for AVX2. Caches and clock rates stay this processor's.
 *
 *   cc -O2 -shared -fPIC -o avx2.so bench/avx2.c -ldl
 *   DGATE_CACHE=FOLDER-OF-ITS-OWN LD_PRELOAD=$PWD/avx2.so npm run bench -- rivals
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012

static struct sigaction other;
static int (*real_sigaction)(int, const struct sigaction *, struct sigaction *);

static void set_cpuid(unsigned long on) {
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, on) != 0) {
    fputs("avx2.so: this processor or its kernel cannot make CPUID fault (flag cpuid_fault)\n", stderr);
    _exit(2);
  }
}

static void on_fault(int signal, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const unsigned char *at = (const unsigned char *)registers[REG_RIP];
  if (info->si_code == SI_KERNEL && at[0] == 0x0f && at[1] == 0xa2) {
    unsigned a = (unsigned)registers[REG_RAX], b, c = (unsigned)registers[REG_RCX], d;
    unsigned leaf = a, part = c;
    set_cpuid(1);
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    set_cpuid(0);
    if (leaf == 7 && part == 0) {
      b &= ~((1u << 16) | (1u << 17) | (1u << 21) | (3u << 26) | (1u << 28) | (3u << 30));
      c &= ~((1u << 1) | (1u << 6) | (1u << 11) | (1u << 12) | (1u << 14));
      d &= ~((3u << 2) | (1u << 8) | (7u << 22));
    } else if (leaf == 7 && part == 1) {
      a &= ~((3u << 4) | (1u << 21) | (1u << 23));
      d &= ~((3u << 4) | (1u << 8) | (1u << 10) | (1u << 19));
    }
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
    return;
  }
  if (other.sa_flags & SA_SIGINFO && other.sa_sigaction) {
    other.sa_sigaction(signal, info, context);
  } else if (other.sa_handler != SIG_DFL && other.sa_handler != SIG_IGN && other.sa_handler) {
    other.sa_handler(signal);
  } else {
    struct sigaction none = {.sa_handler = SIG_DFL};
    real_sigaction(SIGSEGV, &none, NULL);
  }
}

/* A handler that the program sets gets every fault that is not CPUID's. */
int sigaction(int signal, const struct sigaction *set, struct sigaction *was) {
  if (real_sigaction == NULL) real_sigaction = dlsym(RTLD_NEXT, "sigaction");
  if (signal != SIGSEGV) return real_sigaction(signal, set, was);
  if (was) *was = other;
  if (set) other = *set;
  return 0;
}

void (*signal(int number, void (*handler)(int)))(int) {
  struct sigaction set = {.sa_handler = handler, .sa_flags = SA_RESTART}, was;
  return sigaction(number, &set, &was) == 0 ? was.sa_handler : SIG_ERR;
}

__attribute__((constructor)) static void begin(void) {
  struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  if (real_sigaction == NULL) real_sigaction = dlsym(RTLD_NEXT, "sigaction");
  real_sigaction(SIGSEGV, &ours, NULL);
  set_cpuid(0);
  setenv("DGATE_BENCH_HIDDEN", "AVX-512, VNNI, AMX", 1); /* read by runner/conditions.ts */
  setenv("ATEN_CPU_CAPABILITY", "avx2", 1);              /* what PyTorch compiles for */
}
