# The C interface, as in csrc/fnn.h and csrc/ops.def.

cdef extern from "window.h" nogil:
    enum: FNN_CONV_OUTPUTS, FNN_CONV_TILE

    struct fnn_window:
        size_t channels, height, width, outputs, out_height, out_width, kernel_height, kernel_width
        size_t stride_down, stride_across, dilation_down, dilation_across, pad_top, pad_left, groups

    struct fnn_planes:
        size_t count, size, step, channel, tail
    size_t fnn_conv_packed_size(const fnn_window *z, int back)

cdef extern from "fnn.h" nogil:
    enum: FNN_TYPE_F32, FNN_TYPE_F64, FNN_SUM_CHUNK, FNN_DROPOUT_CHUNK, FNN_GEMM_SPACE, FNN_UNARY_COUNT
    enum: FNN_LOSS_COUNT
    const char *fnn_unary_names[]
    const char *fnn_loss_names[]
    int fnn_unary_at_output(int kind, double a, double b)
    const char *fnn_isa_names[]
    const int fnn_isa_count
    int fnn_isa_supported(int isa)
    int fnn_isa()
    void fnn_set_isa(int isa)
    int fnn_has_blas()
    const char *fnn_blas_config()
    size_t fnn_gemm_panel()
    size_t fnn_lanes(int type)
    int fnn_gemm_provider()
    void fnn_set_gemm_provider(int provider)
    int fnn_has_openmp()
    int fnn_num_threads()
    void fnn_set_num_threads(int count)
    void fnn_set_thread_limit(int limit)
    void *fnn_pool_alloc(size_t size)
    void *fnn_pool_realloc(void *memory, size_t size)
    void fnn_pool_free(void *memory)
    size_t fnn_pool_bytes()
    void fnn_pool_clear()
    void fnn_init()

    void fnn_gemm(int type, const void *a, ptrdiff_t a_row, ptrdiff_t a_col, const void *b, ptrdiff_t b_row,
                  ptrdiff_t b_col, const void *bias, void *c, ptrdiff_t c_row, size_t m, size_t n, size_t k,
                  int accumulate)
    void fnn_to_lanes(int type, const void *x, void *y, size_t rows, size_t channels, size_t size, size_t planes)
    void fnn_from_lanes(int type, const void *x, void *y, size_t rows, size_t channels, size_t size, size_t planes)
    void fnn_to_strips(int type, const void *x, void *y, const fnn_window *z, size_t strip, size_t strip_width,
                       size_t lines)
    void fnn_from_strips(int type, const void *x, void *y, const fnn_window *z, size_t strip, size_t lines)
    void fnn_conv_pack(int type, const void *w, void *packed, const fnn_window *z, int back, size_t begin, size_t end)
    void fnn_conv_forward(int type, const void *x, const void *packed, const void *bias, void *y, const fnn_window *z,
                          int relu, size_t lines)
    void fnn_conv_backward_input(int type, const void *dy, const void *packed, const void *bias, void *dx,
                                 const fnn_window *z, int relu, size_t lines)
    void fnn_conv_backward_weight(int type, const void *x, const void *dy, void *dw, const fnn_window *z, size_t blocks,
                                  int accumulate, size_t units)
    void fnn_max_pool_forward(int type, const void *x, void *y, const fnn_window *z, size_t planes)
    void fnn_max_pool_backward(int type, const void *x, const void *dy, void *dx, const fnn_window *z, size_t planes)
    void fnn_max_pool_pairs_backward(int type, const void *x, const void *dy, void *dx, const fnn_window *z,
                                     size_t planes)
    void fnn_avg_pool_forward(int type, const void *x, void *y, const fnn_window *z, int pad_counts, size_t planes)
    void fnn_avg_pool_backward(int type, const void *dy, void *dx, const fnn_window *z, int pad_counts, size_t planes)
    void fnn_batch_norm_planes(int type, const void *x, const void *w, const void *b, void *y, void *mean, void *var,
                               const fnn_planes *p, int given, int relu, double eps, size_t channels)
    void fnn_batch_norm_planes_backward(int type, const void *x, const void *mean, const void *var, const void *w,
                                        const void *b, const void *dy, void *dx, void *dw, void *db,
                                        const fnn_planes *p, int given, int relu, double eps, size_t channels)
    void fnn_sample_norm_forward(int type, const void *x, const void *w, const void *b, void *y, size_t groups,
                                 size_t cols, size_t length, int centred, double eps, size_t rows)
    void fnn_sample_norm_backward(int type, const void *x, const void *w, const void *dy, void *dx, void *dw, void *db,
                                  size_t samples, size_t block, size_t groups, size_t cols, size_t length, int centred,
                                  double eps, size_t blocks)
    void fnn_embedding_forward(int type, const void *w, const int64_t *index, void *y, size_t cols, size_t rows)
    void fnn_embedding_backward(int type, const int64_t *index, const void *dy, void *dw, size_t rows, size_t cols,
                                int64_t padding, size_t units)
    void fnn_upsample_forward(int type, const void *x, void *y, size_t width, size_t down, size_t across, size_t lines)
    void fnn_upsample_backward(int type, const void *dy, void *dx, size_t width, size_t down, size_t across,
                               size_t lines)
    void fnn_plane_sums(int type, const void *dy, void *db, size_t blocks, size_t channels, size_t size, size_t outputs)
    void fnn_unary_forward(int type, int kind, const void *x, void *y, double a, double b, size_t n)
    void fnn_unary_backward(int type, int kind, const void *x, const void *dy, void *dx, double a, double b, size_t n)
    void fnn_softmax_forward(int type, const void *x, void *y, size_t cols, size_t rows)
    void fnn_softmax_backward(int type, const void *x, const void *dy, void *dx, size_t cols, size_t rows)
    void fnn_log_softmax_forward(int type, const void *x, void *y, size_t cols, size_t rows)
    void fnn_log_softmax_backward(int type, const void *x, const void *dy, void *dx, size_t cols, size_t rows)
    void fnn_softmax_backward_from_output(int type, const void *y, const void *dy, void *dx, size_t cols, size_t rows)
    void fnn_log_softmax_backward_from_output(int type, const void *y, const void *dy, void *dx, size_t cols,
                                              size_t rows)
    void fnn_column_sums(int type, const void *x, void *sums, size_t rows, size_t cols, size_t units)
    void fnn_channel_scale_forward(int type, const void *x, const void *w, const void *b, void *y, size_t cols,
                                   size_t rows)
    void fnn_channel_scale_backward(int type, const void *x, const void *w, const void *dy, void *dx, void *dw,
                                    void *db, size_t rows, size_t cols, size_t units)
    void fnn_batch_norm_forward(int type, const void *x, const void *w, const void *b, void *y, void *mean, void *var,
                                size_t rows, size_t cols, double eps, size_t units)
    void fnn_batch_norm_backward(int type, const void *x, const void *w, const void *dy, void *dx, void *dw, void *db,
                                 size_t rows, size_t cols, double eps, size_t units)
    void fnn_batch_norm_inference(int type, const void *x, const void *mean, const void *var, const void *w,
                                  const void *b, void *y, size_t rows, size_t cols, double eps, size_t units)
    void fnn_batch_norm_inference_backward(int type, const void *x, const void *mean, const void *var, const void *w,
                                           const void *dy, void *dx, void *dw, void *db, size_t rows, size_t cols,
                                           double eps, size_t units)
    void fnn_dropout_bits(int type, uint16_t *bits, size_t size, uint64_t seed, uint64_t offset, size_t chunks)
    void fnn_dropout(int type, const void *x, void *y, size_t size, uint32_t threshold, double scale, uint64_t seed,
                     uint64_t offset, size_t chunks)
    void fnn_bernoulli_mask(int type, uint32_t *key, size_t *pos, int64_t *mask, size_t size, double keep,
                            size_t chunks)
    void fnn_masked_scale(int type, const void *x, const int64_t *mask, void *y, double scale, size_t n)
    void fnn_loss_forward(int type, int kind, const void *x, const void *t, double *partial, size_t size, double a,
                          size_t chunks)
    void fnn_loss_backward(int type, int kind, const void *x, const void *t, void *dx, double a, double scale,
                           size_t n)
    void fnn_nll(int type, const void *x, const int64_t *labels, const void *targets, const void *weight,
                 double *losses, void *dx, size_t cols, int64_t ignore_index, double scale, size_t rows)
    void fnn_cross_entropy(int type, const void *x, const int64_t *labels, const void *targets, const void *weight,
                           double *losses, void *dx, size_t cols, int64_t ignore_index, double smoothing,
                           double scale, size_t rows)
    void fnn_sgd_update(int type, void *p, const void *g, void *v, double lr, double momentum, double share,
                        double weight_decay, int nesterov, int first, size_t n)
    void fnn_adam_update(int type, void *p, const void *g, void *m, void *v, void *v_max, double shrink,
                         double weight_decay, double beta1, double beta2, double step_size, double root_scale,
                         double eps, size_t n)
    void fnn_rmsprop_update(int type, void *p, const void *g, void *square_mean, void *grad_mean, void *velocity,
                            double lr, double alpha, double eps, double weight_decay, double momentum, size_t n)
    void fnn_adagrad_update(int type, void *p, const void *g, void *square_sum, double lr, double eps,
                            double weight_decay, size_t n)
    void fnn_square_sum(int type, const void *x, double *partial, size_t size, size_t chunks)
    void fnn_scale(int type, void *x, double factor, size_t n)
    void fnn_clip(int type, void *x, double low, double high, size_t n)


cdef extern from "program.h" nogil:
    enum: FNN_INSTRUCTION_COUNT, FNN_PLACES, FNN_PLACE_INPUT, FNN_PLACE_TARGET, FNN_PLACE_OUTPUT
    enum: FNN_SGD, FNN_ADAM, FNN_RMSPROP, FNN_ADAGRAD, FNN_MEAN, FNN_SUM, FNN_BATCHMEAN
    const char *fnn_instruction_names[]
    const int fnn_instruction_splits[]

    struct fnn_instruction:
        int kind, meet
        int v[9]
        int64_t n[6]
        double d[2]

    struct fnn_parameter:
        int p
        int states[3]
        int squares
        size_t size
        int first
        double step

    struct fnn_optimizer:
        int kind
        double penalty
        double d[7]

    struct fnn_criterion:
        int reduction, classes, rows, weight, losses, weighted
        int64_t ignore_index
        size_t size

    struct fnn_mask:
        uint64_t key, step

    struct fnn_program:
        int type
        size_t count
        fnn_instruction *code
        void **values
        size_t places, arena_places, arena_size, scratch
        char *rooms
        size_t room
        int members
        fnn_parameter *parameters
        size_t parameter_count
        fnn_optimizer optimizer
        fnn_criterion criterion
        fnn_window *windows
        fnn_mask *masks
        size_t mask_count
        int64_t **counters
        size_t counter_count
        int hits, gathered, gathered_targets, gathered_weights
        double ns

    struct fnn_batches:
        const char *x
        const char *y
        size_t x_row, y_row
        const int64_t *order
        size_t rows, batch, done, steps
        const double *weights
        double *losses
        double *penalties
        int64_t hits, counted
        int counting

    size_t fnn_room(const fnn_program *p, size_t rows)
    void fnn_train(fnn_program *p, fnn_batches *b, double seconds)
    void fnn_infer(const fnn_program *p, const char *x, size_t x_row, char *y, size_t y_row, size_t rows, size_t block,
                   int threads)
