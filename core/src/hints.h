/* SPDX-License-Identifier: MIT */
/* What compilers are told on the paths that every packet takes. */
#ifndef FS_HINTS_H
#define FS_HINTS_H

#if defined(__GNUC__)
/* In a function of its own only with FS__INLINE: gcc takes one that does nothing else for one without effect. */
#define FS__PREFETCH(address) __builtin_prefetch(address)
#define FS__UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define FS__COLD __attribute__((noinline, cold))         /* does not take registers from those that call it */
#define FS__NOINLINE __attribute__((noinline))           /* likewise, but may be called often */
#define FS__INLINE inline __attribute__((always_inline)) /* into each of its few callers */
#else
#define FS__PREFETCH(address) ((void)0)
#define FS__UNLIKELY(condition) (condition)
#define FS__COLD
#define FS__NOINLINE
#define FS__INLINE inline
#endif

#endif
