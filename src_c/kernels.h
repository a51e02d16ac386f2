/* Stamps the bodies for float and double and emits the two tables of one instruction set.
 *
 * double comes first: smooth activations of floats are computed in double lanes.  A variant file
 * defines CBP_VEC_* and CBP_TABLE(name) and includes this header; it holds nothing else, and
 * everything but the two tables is static. */
#include "cbp_kernels.h"
#include "cbp_random.h"
#include "philox.h"
#include "vec.h"

#define CBP_TYPE 64
#include "stamp.h"
#include "elementary_body.h"
#include "lanes_body.h"
#include "smooth_body.h"
#include "matrix_body.h"
#include "convert_body.h"
#include "activation_body.h"
#include "loss_body.h"
#include "objective_body.h"
#include "update_body.h"
#include "regularise_body.h"
#include "small_body.h"
#include "tiny_body.h"
#include "scaling_body.h"
#include "shuffle_body.h"
#include "table_body.h"
#undef CBP_TYPE

#define CBP_TYPE 32
#include "stamp.h"
#include "elementary_body.h"
#include "smooth_body.h"
#include "matrix_body.h"
#include "convert_body.h"
#include "activation_body.h"
#include "loss_body.h"
#include "objective_body.h"
#include "update_body.h"
#include "regularise_body.h"
#include "small_body.h"
#include "tiny_body.h"
#include "scaling_body.h"
#include "shuffle_body.h"
#include "table_body.h"
#undef CBP_TYPE
