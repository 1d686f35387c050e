/* The table of this variant's kernels, which dispatch.c picks. */
#include "kernel.h"

#if FNN_F64
#define FNN_TABLE fnn_table_f64
#else
#define FNN_TABLE fnn_table_f32
#endif

#define KERNEL(name, params, args) void (*name)(FNN_STRIP params, size_t begin, size_t end);
#define OP(name, params, args, unit, ns) KERNEL(name, params, args)
struct FNN_TABLE {
#include "ops.def"
};
#undef OP
#undef KERNEL

#define KERNEL(name, params, args) FNN_NAME(name),
#define OP(name, params, args, unit, ns) KERNEL(name, params, args)
extern const struct FNN_TABLE FNN_NAME(table);
const struct FNN_TABLE FNN_NAME(table) = {
#include "ops.def"
};
