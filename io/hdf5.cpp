#include "io/hdf5.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <optional>

#include "host/error.hpp"
#include "io/global_heap.hpp"

namespace coterie::io::hdf5 {
namespace {

thread_local bool external_link_met = false;  // set by the callback while an object is being opened

herr_t refuse_external_link(const char*, const char*, const char*, const char*, unsigned*, hid_t, void*) {
  external_link_met = true;
  return -1;
}

void prepare_library() {
  H5dont_atexit();
  H5open();
  H5PLset_loading_state(0);  // a bit for each kind of plug-in that may load: none
  register_references();
}

// A failed read or write is described with time, buffer and offset; people want the system's own words.
std::string tidy_reason(const std::string& text) {
  constexpr std::string_view kSystem = "error message = '";
  if (const auto at = text.find(kSystem); at != std::string::npos) {
    const auto begin = at + kSystem.size();
    return text.substr(begin, text.find('\'', begin) - begin);
  }
  return text.substr(0, text.find(':'));
}

herr_t keep_innermost(unsigned depth, const H5E_error2_t* error, void* description) {
  if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(description) = error->desc;
  return 0;
}

std::string_view kind_of(hid_t object) {
  switch (H5Iget_type(object)) {
    case H5I_DATASET: return "dataset";
    case H5I_GROUP: return "group";
    case H5I_ATTR: return "attribute of";
    default: return "";
  }
}

bool is_writable(hid_t object) {
  unsigned intent = H5F_ACC_RDONLY;
  const File file(H5Iget_file_id(object));
  return file && H5Fget_intent(file.id(), &intent) >= 0 && (intent & H5F_ACC_RDWR) != 0;
}

constexpr std::string_view kByNewerLibrary =
    "written by a newer HDF5, or is damaged. Make a copy where that HDF5 is, with `h5repack FILE COPY`, and read the copy";
bool is_of_newer_library(const std::string& reason) { return reason.find("bad") == 0 && reason.find("version") != std::string::npos; }

// `reason` is taken before anything else is called, because every successful call clears HDF5's error stack.
[[noreturn]] void throw_failure(bool writable, const std::string& place, std::string_view what, const std::string& reason) {
  const std::string message = fmt::format("{}: cannot {}{}", place, what, reason.empty() ? "" : " (" + reason + ")");
  if (writable) throw OutputError(message);
  throw InputError(message + "; nothing was written" + (is_of_newer_library(reason) ? fmt::format(". It was {}", kByNewerLibrary) : ""));
}

// The two-call idiom of H5?get_name: the length first, then the bytes.
std::string name_from(ssize_t (*get)(hid_t, char*, std::size_t), hid_t object) {
  const Lock lock;
  const ssize_t length = get(object, nullptr, 0);
  std::string name(length > 0 ? static_cast<std::size_t>(length) : 0, '\0');
  if (length > 0) get(object, name.data(), name.size() + 1);
  return name;
}

[[noreturn]] void refuse_external(hid_t location, const std::string& path) {
  throw PolicyError(
      fmt::format("{}: '{}' is an external link into another file, and those are not followed; nothing was written. Copy the data "
                  "into this file",
                  describe(location), path));
}

hid_t checked_open(hid_t id, hid_t location, const std::string& path) {
  if (id < 0 && external_link_met) refuse_external(location, path);
  return check_id(id, location, "open the object", path);
}

// The number that follows `key` in one of HDF5's descriptions, or nothing.
std::optional<std::uint64_t> number_after(const std::string& description, std::string_view key) {
  const std::size_t at = description.find(key);
  if (at == std::string::npos) return std::nullopt;
  std::uint64_t number = 0;
  const char* begin = description.data() + at + key.size();
  if (std::from_chars(begin, description.data() + description.size(), number).ec != std::errc{}) return std::nullopt;
  return number;
}

// Whether the file could not be locked because its file system knows no locks (some network ones), not because it is in use.
bool lacks_locks(const std::string& description) {
  const auto code = number_after(description, "unable to lock file, errno = ");
  return code && *code != EAGAIN;
}

// The ways in which HDF5 files most often do not open, and what to do about each.
std::string open_failure(const std::string& description) {
  const auto size = number_after(description, "truncated file: eof = "), base = number_after(description, "base_addr = "),
             expected = number_after(description, "stored_eof = ");
  if (size && base && expected)
    return fmt::format("the file is truncated: it has {} bytes of {}. Copy or download it again", *size, *base + *expected);
  if (description.find("unable to lock file") != std::string::npos)
    return fmt::format("another program has the file open for writing ({}). Close that program or wait for it", tidy_reason(description));
  if (description.find("already open for write") != std::string::npos)
    return "the file is open for writing, or the program that wrote it did not close it. If no program writes it any more, make a copy, "
           "clear the mark with `h5clear -s COPY` and read the copy";
  if (const std::string reason = tidy_reason(description); is_of_newer_library(reason))
    return fmt::format("it cannot be opened ({}); it was {}", reason, kByNewerLibrary);
  return fmt::format("it cannot be opened as HDF5 ({}); it is damaged or truncated. Copy or download it again", tidy_reason(description));
}

hid_t class_id(PropertyClass property_class) {
  switch (property_class) {
    case PropertyClass::file_access: return H5P_FILE_ACCESS;
    case PropertyClass::file_creation: return H5P_FILE_CREATE;
    case PropertyClass::dataset_access: return H5P_DATASET_ACCESS;
    case PropertyClass::dataset_creation: return H5P_DATASET_CREATE;
  }
  return H5I_INVALID_HID;
}

// Every link is followed with this list, made once and kept.
hid_t link_access() {
  static const hid_t list = [] {
    const hid_t id = H5Pcreate(H5P_LINK_ACCESS);
    H5Pset_elink_cb(id, refuse_external_link, nullptr);
    return id;
  }();
  return list;
}

// What a path whose groups are all there leads to; H5I_BADID: nothing.
H5I_type_t kind_of_last(hid_t location, const std::string& path) {
  external_link_met = false;
  htri_t found = H5Lexists(location, path.c_str(), link_access());
  if (found > 0) found = H5Oexists_by_name(location, path.c_str(), link_access());
  if (external_link_met) refuse_external(location, path);
  if (found == 0) return H5I_BADID;
  const Handle<H5Oclose> object(found > 0 ? H5Oopen(location, path.c_str(), link_access()) : H5I_INVALID_HID);
  if (object) return H5Iget_type(object.id());
  fail(location, is_of_newer_library(last_reason()) ? "open the object" : "open the object, for the file is damaged", path);
}

H5I_type_t kind_at(hid_t location, const std::string& path) {
  const Lock lock;
  const std::size_t last = path.find_last_not_of('/');
  if (last == std::string::npos) return H5I_GROUP;
  for (std::size_t end = path.find('/', 1); end < last; end = path.find('/', end + 1))
    if (kind_of_last(location, path.substr(0, end)) != H5I_GROUP) return H5I_BADID;
  return kind_of_last(location, path);
}

herr_t keep_name(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

}  // namespace

Lock::Lock() {
  static std::recursive_mutex mutex;
  static const bool prepared = (prepare_library(), true);
  static_cast<void>(prepared);
  lock_ = std::unique_lock(mutex);
  thread_local const herr_t silenced = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // a setting of each thread
  static_cast<void>(silenced);
}

std::string last_description() {
  const Lock lock;
  std::string description;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &description);
  return description;
}

std::string last_reason() { return tidy_reason(last_description()); }

std::string file_of(hid_t object) { return name_from(H5Fget_name, object); }
std::string path_of(hid_t object) { return name_from(H5Iget_name, object); }

std::string describe(hid_t object) {
  const Lock lock;
  const std::string_view kind = kind_of(object);
  const std::string file = fmt::format("file '{}'", file_of(object));
  return kind.empty() ? file : fmt::format("{}, {} '{}'", file, kind, path_of(object));
}

void fail(hid_t location, std::string_view what, std::string_view name) {
  const Lock lock;
  const std::string reason = last_reason();
  const std::string place = describe(location) + (name.empty() ? "" : fmt::format(", '{}'", name));
  throw_failure(is_writable(location), place, what, reason);
}

void check(herr_t result, hid_t location, std::string_view what, std::string_view name) {
  if (result < 0) fail(location, what, name);
}

hid_t check_id(hid_t result, hid_t location, std::string_view what, std::string_view name) {
  if (result < 0) fail(location, what, name);
  return result;
}

void close_checked(hid_t id, herr_t (*close)(hid_t)) {
  const Lock lock;
  const std::string place = describe(id);  // the id may be gone after a failed close
  const bool writable = is_writable(id);
  if (close(id) < 0) throw_failure(writable, place, "close it", last_reason());
}

PropertyList property_list(PropertyClass property_class) {
  const Lock lock;
  const hid_t id = H5Pcreate(class_id(property_class));
  if (id < 0) throw ResourceError("the HDF5 library cannot make a property list (" + last_reason() + ")");
  if (property_class == PropertyClass::dataset_access) H5Pset_elink_cb(id, refuse_external_link, nullptr);
  return PropertyList(id);
}

File create_file(const std::filesystem::path& path, unsigned flags, const PropertyList& creation, const PropertyList& access) {
  const Lock lock;
  const hid_t id = H5Fcreate(path.c_str(), flags, creation.id(), access.id());
  if (id < 0) throw_failure(true, fmt::format("file '{}'", path.string()), "create it", last_reason());
  return File(id);
}

File open_file(const std::filesystem::path& path, const PropertyList& access) {
  const Lock lock;
  hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id());
  if (id < 0 && lacks_locks(last_description())) {
    const PropertyList unlocked(H5Pcopy(access.id()));
    H5Pset_file_locking(unlocked.id(), false, true);
    id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, unlocked.id());
  }
  if (id < 0) throw InputError(fmt::format("file '{}': {}; nothing was written", path.string(), open_failure(last_description())));
  return File(id);
}

void flush(const File& file) {
  const Lock lock;
  check(H5Fflush(file.id(), H5F_SCOPE_GLOBAL), file.id(), "flush it");
}

bool exists(hid_t location, const std::string& path) { return kind_at(location, path) != H5I_BADID; }

Group create_group(hid_t location, const std::string& path) {
  const Lock lock;
  const PropertyList creation(H5Pcreate(H5P_GROUP_CREATE));
  H5Pset_obj_track_times(creation.id(), false);  // equal contents, equal bytes
  return Group(check_id(H5Gcreate2(location, path.c_str(), H5P_DEFAULT, creation.id(), H5P_DEFAULT), location, "create group", path));
}

Group open_group(hid_t location, const std::string& path) {
  const Lock lock;
  external_link_met = false;
  const hid_t id = checked_open(H5Oopen(location, path.c_str(), link_access()), location, path);
  if (H5Iget_type(id) == H5I_GROUP) return Group(id);
  H5Oclose(id);
  throw InputError(fmt::format("{}: '{}' is not a group; nothing was written", describe(location), path));
}

Dataset create_dataset(hid_t location, const std::string& path, const Datatype& type, const Dataspace& space,
                       const PropertyList& creation) {
  const Lock lock;
  const hid_t id = H5Dcreate2(location, path.c_str(), type.id(), space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT);
  return Dataset(check_id(id, location, "create dataset", path));
}

Dataset open_dataset(hid_t location, const std::string& path) {
  return open_dataset(location, path, property_list(PropertyClass::dataset_access));
}

Dataset open_dataset(hid_t location, const std::string& path, const PropertyList& access) {
  const Lock lock;
  external_link_met = false;
  return Dataset(checked_open(H5Dopen2(location, path.c_str(), access.id()), location, path));
}

bool is_group(hid_t location, const std::string& path) { return kind_at(location, path) == H5I_GROUP; }
bool is_dataset(hid_t location, const std::string& path) { return kind_at(location, path) == H5I_DATASET; }

std::vector<std::string> children(hid_t group) {
  const Lock lock;
  std::vector<std::string> names;
  hsize_t position = 0;
  check(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &position, keep_name, &names), group, "list the group");
  return names;
}

}  // namespace coterie::io::hdf5
