/* The table of one instruction set and element type. */
#define CBP_TABLE_(type) CBP_TABLE(type)
const cbp_kernels CBP_TABLE_(T_NAME) = {
    .isa = VEC_NAME,
    .has_fma = VEC_HAS_FMA,
    .itemsize = sizeof(T),
    .gather = FN(gather),
    .scatter = FN(scatter),
    .transpose = FN(transpose),
    .matmul = FN(matmul),
    .activate = FN(activate),
    .delta = FN(delta),
    .head = FN(head),
    .gradient = FN(gradient),
    .bias_gradient = FN(bias_gradient),
    .add_l2 = FN(add_l2),
    .penalise = FN(penalise),
    .update = FN(update),
    .average = FN(average),
    .max_norm = FN(max_norm),
    .dropout = FN(dropout),
    .row_sum = FN(row_sum),
    .weight_sum = FN(weight_sum),
    .square_sum = FN(square_sum),
    .finite = FN(finite),
    .apply = FN(apply),
};
#undef CBP_TABLE_
