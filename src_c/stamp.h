/* Short names for the element type that is being stamped; included by kernels.h once for float and
 * once for double, before the bodies.  CBP_TYPE is 32 or 64. */
#undef T
#undef TI
#undef TU
#undef V
#undef VM
#undef VI
#undef VW
#undef VPS
#undef T_NAME
#undef FN
#undef VOP

#define CBP_CAT_(a, b) a##b
#define CBP_CAT(a, b) CBP_CAT_(a, b)

#if CBP_TYPE == 32
#define T float
#define TI int32_t
#define TU uint32_t
#define T_NAME f32
#define VOP(op) f32_##op
#define VW F32_LANES
#define FN(name) CBP_CAT(name, _f32)
#else
#define T double
#define TI int64_t
#define TU uint64_t
#define T_NAME f64
#define VOP(op) f64_##op
#define VW F64_LANES
#define FN(name) CBP_CAT(name, _f64)
#endif

#define V VOP(v)
#define VM VOP(m)
#define VI VOP(i)
#define VPS (CBP_STRIP / VW) /* vectors in a strip of 16 columns */

#ifndef CBP_STAMP_WORDS
#define CBP_STAMP_WORDS
#define vload VOP(load)
#define vstore VOP(store)
#define vloadn VOP(loadn)
#define vstoren VOP(storen)
#define vfirst VOP(first)
#define vset1 VOP(set1)
#define vadd VOP(add)
#define vsub VOP(sub)
#define vmul VOP(mul)
#define vdiv VOP(div)
#define vsqrt VOP(sqrt)
#define vfma VOP(fma)
#define vfnma VOP(fnma)
#define vlt VOP(lt)
#define veq VOP(eq)
#define vsel VOP(sel)
#define vmax VOP(max)
#define vmin VOP(min)
#define vmand VOP(mand)
#define vcount VOP(count)
#define vbits VOP(bits)
#define vfrom_bits VOP(from_bits)
#define viset1 VOP(iset1)
#define viadd VOP(iadd)
#define visub VOP(isub)
#define viand VOP(iand)
#define vior VOP(ior)
#define vixor VOP(ixor)
#define vishl VOP(ishl)
#define vishr VOP(ishr)
#define vswap VOP(swap)
#define vwiden VOP(widen)
#define vnarrow VOP(narrow)
#define vtree_add VOP(tree_add)
#define vtree_max VOP(tree_max)
#endif
