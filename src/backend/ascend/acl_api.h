// CANN's libraries opened at run time: every function of acl_functions.def and aclnn_ops.def as a typed
// pointer, with the library that served it. Nothing of CANN is linked; where it is absent, that is an answer.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "backend/ascend/acl_types.h"

namespace chaski {

/// The operators of aclnn_ops.def.
enum class AclnnOp : int {
#define ACLNN_OP(since, need, name, args) k##name,
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP
};
inline constexpr int kAclnnOpCount = 0
#define ACLNN_OP(since, need, name, args) +1
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP
    ;
std::string_view name_of(AclnnOp op);  ///< "aclnnMm"
/// The names of its arguments, in order.
const std::vector<std::string_view>& argument_names(AclnnOp op);

namespace acl {

struct Functions {
#define ACL_FUNCTION(library, since, need, type, name, parameters) type(*name) parameters = nullptr;
#include "backend/ascend/acl_functions.def"
#undef ACL_FUNCTION
};

/// Both phases of an operator whose first takes the arguments of `Signature`, a Status(arguments…).
template <typename Signature>
struct OpFunctions;
template <typename... Args>
struct OpFunctions<Status(Args...)> {
  Status (*get_workspace_size)(Args..., uint64_t* workspace, aclOpExecutor** executor) = nullptr;
  Status (*run)(void* workspace, uint64_t size, aclOpExecutor* executor, Stream stream) = nullptr;
};

struct Operators {
#define ACLNN_OP(since, need, name, args) OpFunctions<Status args> name;
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP
};

/// By AclnnOp: Signature, and `member`, the pair in Operators.
template <AclnnOp op>
struct OpTraits;
#define ACLNN_OP(since, need, name, args)            \
  template <>                                        \
  struct OpTraits<AclnnOp::k##name> {                \
    using Signature = Status args;                   \
    static constexpr auto member = &Operators::name; \
  };
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP

}  // namespace acl

enum class AclLibrary { kAscendCl, kNnBase, kOperators };
std::string_view name_of(AclLibrary library);  ///< "libascendcl", "libnnopbase", "libopapi"

/// One symbol of the tables, and what served it.
struct AclSymbol {
  AclLibrary library;
  std::string_view name;
  std::string_view since;  ///< the first CANN that has it: "8.0"
  bool is_required;
  std::string served_by;  ///< path of the library; empty: missing
};

/// Where to look for CANN.
struct AclSearch {
  /// Ask the dynamic loader ($LD_LIBRARY_PATH, the system) before the folders.
  bool by_loader = true;
  std::vector<std::string> folders;
  std::vector<std::string> without;  ///< symbols to treat as absent

  /// The loader, then $ASCEND_HOME_PATH and $ASCEND_TOOLKIT_HOME, then the usual places; without what
  /// $CHASKI_ASCEND_WITHOUT lists ("Name,Name").
  static AclSearch from_environment();
};

/// CANN, opened. Libraries stay open for the life of the process; the object can be used from any thread.
class AclApi {
 public:
  /// The one of this process, as AclSearch::from_environment() finds it first. Throws Error(kDevice) where
  /// libraries or required symbols are missing, saying which and what to do.
  static std::shared_ptr<AclApi> open();
  static std::shared_ptr<AclApi> open(const AclSearch& search);
  /// As open(); null where that throws, with its reason.
  static std::shared_ptr<AclApi> try_open(std::string& why_not) noexcept;

  ~AclApi();  ///< finalises AscendCL where initialize() has initialised it
  AclApi(const AclApi&) = delete;
  AclApi& operator=(const AclApi&) = delete;

  acl::Functions call;  ///< api.call.aclrtMalloc(…); null where optional and missing
  acl::Operators ops;   ///< api.ops.Mm.run(…); both null where optional and missing

  /// aclInit, once however often it is asked for. Throws AclError.
  void initialize();
  /// aclrtSetDevice on the calling thread; release_device calls aclrtResetDevice when its last user goes.
  void hold_device(int device);
  void release_device(int device) noexcept;

  const std::vector<AclSymbol>& symbols() const { return symbols_; }
  /// A name of either table ("aclmdlRICaptureBegin", "aclnnMm").
  bool has(std::string_view name) const;
  bool has(AclnnOp op) const;
  /// Whether steps can be captured and replayed: all of aclmdlRI* are there.
  bool can_capture() const;
  /// Optional symbols that are missing, a line each: "aclmdlRICaptureBegin (since CANN 8.1)".
  std::vector<std::string> missing() const;

  bool is_emulated() const { return !profile_.empty(); }
  const std::string& profile() const { return profile_; }  ///< of the emulator: "8.0"; empty: not emulated
  /// "CANN 8.0.0 (AscendCL 1.12.0)" as far as it is known, or "emulated CANN 8.0".
  const std::string& version() const { return version_; }
  const std::string& path() const { return path_; }  ///< of the libascendcl.so that is used

 private:
  AclApi() = default;
  void resolve(const AclSearch& search);
  void find_version();

  std::vector<AclSymbol> symbols_;
  std::string profile_, version_, path_;
  std::mutex mutex_;  ///< of what follows
  bool is_initialized_ = false, must_finalize_ = false;
  std::vector<int> users_of_device_;
};

}  // namespace chaski
