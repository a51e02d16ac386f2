"""A user's Python functions inside a sweep.  Each call takes the GIL; 1 where it raised: the
exception is then in `pending`, a new reference, for `reraise`."""
from cbp._kernels cimport cbp_kernels, cbp_target


# a (IN z, OUT f(z)): n rows of o outputs in strips.  `functions` is the list of a Core.
cdef int user_activation(void *functions, int layer, const cbp_kernels *kernel, char *a,
                         Py_ssize_t stride, Py_ssize_t n, Py_ssize_t o,
                         void **pending) noexcept with gil

# d (IN s, OUT s * f'(z)), tiny results flushed.
cdef int user_slope(void *functions, int layer, const cbp_kernels *kernel, char *d, const char *z,
                    Py_ssize_t stride, Py_ssize_t n, Py_ssize_t o,
                    void **pending) noexcept with gil

# loss (OUT): the loss of each row; d (OUT): dloss/doutputs, or NULL.
cdef int user_loss(void *function, const cbp_kernels *kernel, char *d, char *loss, const char *a,
                   Py_ssize_t stride, const cbp_target *target, Py_ssize_t n, Py_ssize_t o,
                   void **pending) noexcept with gil
